// Numbers of the twin's lossless messages (rules L1, L4, R2).
using System;

namespace Twin6G.Core
{
    /// <summary>The other side broke a rule of the contract; there is nothing to try again.</summary>
    public sealed class ProtocolException : Exception
    {
        public ProtocolException(string message)
            : base(message)
        {
        }
    }

    /// <summary>Which lossless messages of the twin arrived.</summary>
    internal sealed class Receipts
    {
        private ulong resent;

        /// <summary>Number of the message that arrived last.</summary>
        internal ulong Last { get; private set; }

        /// <summary>A new session: numbers from 1.</summary>
        internal void Restart()
        {
            Last = 0;
            resent = 0;
        }

        /// <summary>A broken stream goes on: what arrived may come again under its old number.</summary>
        internal void Resume()
        {
            resent = Last;
        }

        /// <summary>Checks a number and returns whether the message is new.</summary>
        internal bool Arrived(ulong seq)
        {
            if (seq <= resent)
            {
                return false;
            }

            if (seq != Last + 1)
            {
                throw new ProtocolException("The twin's message " + seq + " follows " + Last + "; some are missing.");
            }

            Last = seq;
            return true;
        }
    }
}
