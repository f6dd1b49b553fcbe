// The default transport: System.Net.WebSockets, one binary frame per message.
using System;
using System.IO;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Threading;
using System.Threading.Tasks;

namespace Twin6G.Core
{
    /// <summary>Connects over WebSocket (`ws://`, and `wss://` where the runtime has TLS).</summary>
    public sealed class WebSocketTransport : ITransport
    {
        private readonly int maxMessageBytes;

        /// <summary>Messages of the twin that are longer end the connection.</summary>
        public WebSocketTransport(int maxMessageBytes = 16 * 1024 * 1024)
        {
            this.maxMessageBytes = maxMessageBytes;
        }

        public async Task<IConnection> Connect(Uri address, CancellationToken cancel)
        {
            ClientWebSocket socket = new ClientWebSocket();
            socket.Options.KeepAliveInterval = TimeSpan.Zero; // the contract has heartbeats of its own
            try
            {
                await socket.ConnectAsync(address, cancel).ConfigureAwait(false);
            }
            catch (Exception error) when (IsOfTheNetwork(error))
            {
                socket.Dispose();
                throw new TransportException("no twin answers at " + address + ": " + Innermost(error), error);
            }

            return new Connection(socket, maxMessageBytes);
        }

        private static bool IsOfTheNetwork(Exception error)
        {
            return error is WebSocketException || error is IOException || error is SocketException
                || error is OperationCanceledException || error is ObjectDisposedException
                || error is InvalidOperationException || error is System.Net.WebException;
        }

        private static string Innermost(Exception error)
        {
            return error.GetBaseException().Message;
        }

        private sealed class Connection : IConnection
        {
            private readonly ClientWebSocket socket;
            private readonly int maxMessageBytes;
            private byte[] buffer = new byte[64 * 1024];

            internal Connection(ClientWebSocket socket, int maxMessageBytes)
            {
                this.socket = socket;
                this.maxMessageBytes = maxMessageBytes;
                EndReason = string.Empty;
            }

            public string EndReason { get; private set; }

            public async Task Send(ArraySegment<byte> message, CancellationToken cancel)
            {
                try
                {
                    await socket.SendAsync(message, WebSocketMessageType.Binary, true, cancel).ConfigureAwait(false);
                }
                catch (Exception error) when (IsOfTheNetwork(error))
                {
                    throw new TransportException("the stream broke: " + Innermost(error), error);
                }
            }

            public async Task<ArraySegment<byte>> Receive(CancellationToken cancel)
            {
                int count = 0;
                while (true)
                {
                    WebSocketReceiveResult part;
                    try
                    {
                        ArraySegment<byte> room = new ArraySegment<byte>(buffer, count, buffer.Length - count);
                        part = await socket.ReceiveAsync(room, cancel).ConfigureAwait(false);
                    }
                    catch (Exception error) when (IsOfTheNetwork(error))
                    {
                        throw new TransportException("the stream broke: " + Innermost(error), error);
                    }

                    if (part.MessageType == WebSocketMessageType.Close)
                    {
                        EndReason = part.CloseStatusDescription ?? string.Empty;
                        return default(ArraySegment<byte>);
                    }

                    if (part.MessageType == WebSocketMessageType.Text)
                    {
                        throw new ProtocolException("The twin sent a text frame; the contract has only binary ones.");
                    }

                    count += part.Count;
                    if (part.EndOfMessage)
                    {
                        return new ArraySegment<byte>(buffer, 0, count);
                    }

                    if (count == buffer.Length)
                    {
                        Grow();
                    }
                }
            }

            public void Dispose()
            {
                try
                {
                    socket.Abort();
                }
                catch (ObjectDisposedException)
                {
                    return; // it is gone already
                }

                socket.Dispose();
            }

            private void Grow()
            {
                if (buffer.Length >= maxMessageBytes)
                {
                    throw new TransportException("the twin sent more than " + maxMessageBytes + " bytes at once", null);
                }

                Array.Resize(ref buffer, Math.Min(2 * buffer.Length, maxMessageBytes));
            }
        }
    }
}
