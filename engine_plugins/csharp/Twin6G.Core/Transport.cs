// What the session needs of a network: connect, send one message, receive one message.
using System;
using System.Threading;
using System.Threading.Tasks;

namespace Twin6G.Core
{
    /// <summary>The network failed; the session tries again.</summary>
    public sealed class TransportException : Exception
    {
        public TransportException(string message, Exception cause)
            : base(message, cause)
        {
        }
    }

    /// <summary>Makes connections. An engine that cannot use sockets brings one of its own.</summary>
    public interface ITransport
    {
        /// <summary>Connects, or throws <see cref="TransportException"/>.</summary>
        Task<IConnection> Connect(Uri address, CancellationToken cancel);
    }

    /// <summary>One connection; one Send and one Receive may be under way at a time. Dispose cuts it.</summary>
    public interface IConnection : IDisposable
    {
        /// <summary>Sends one message whole, or throws <see cref="TransportException"/>.</summary>
        Task Send(ArraySegment<byte> message, CancellationToken cancel);

        /// <summary>Returns the next message, an empty Array when the other side has ended the connection, or throws
        /// <see cref="TransportException"/>. The bytes are valid until the next call.</summary>
        Task<ArraySegment<byte>> Receive(CancellationToken cancel);

        /// <summary>Why the other side ended the connection, in its words; empty when it did not say.</summary>
        string EndReason { get; }
    }
}
