// What the scene still has to say: what waits, in which order it goes, what may be lost (rules L1-L3, R2, F1).
using System;
using System.Collections.Generic;
using System.Threading;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>The outgoing half of a session. Filled from the engine's thread, emptied by the network's.
    ///
    /// Control messages go first, then lossless ones (kept until acknowledged, at most a window of them under way),
    /// then the newest Telemetry when there is credit for it, then a bare acknowledgement.</summary>
    internal sealed class Outbox
    {
        private const int MostControl = 1024;
        private readonly object gate = new object();
        private readonly SemaphoreSlim filled = new SemaphoreSlim(0, 1);
        private readonly Queue<byte[]> control = new Queue<byte[]>();
        private readonly LinkedList<byte[]> kept = new LinkedList<byte[]>();
        private readonly int maxKept;
        private LinkedListNode<byte[]> next;
        private ulong lastSent;
        private ulong everSent;
        private ulong firstKept = 1;
        private int window = int.MaxValue;
        private bool open;
        private byte[] newest;
        private double newestSinceS;
        private long credit;
        private ulong ack;
        private ulong ackTold;
        private ulong droppedTold;

        internal Outbox(int maxKept)
        {
            this.maxKept = maxKept;
        }

        /// <summary>Telemetry that a newer one replaced, since the session began.</summary>
        internal ulong Dropped { get; private set; }

        /// <summary>How old the Telemetry sent last was when it went.</summary>
        internal double AgeS { get; private set; }

        /// <summary>Lossless messages that are not acknowledged.</summary>
        internal int Depth
        {
            get { return Locked(delegate { return kept.Count; }); }
        }

        /// <summary>Begins a new session: everything not acknowledged goes out again, numbered from 1.</summary>
        internal void Restart(uint lossless, uint telemetryCredits)
        {
            lock (gate)
            {
                firstKept = 1;
                everSent = 0;
                ack = 0;
                Dropped = 0;
                droppedTold = 0;
                Begin(lossless, telemetryCredits);
            }
        }

        /// <summary>Goes on after what the twin has; later ones go again under their old numbers.</summary>
        internal void Resume(ulong arrived, uint lossless, uint telemetryCredits)
        {
            lock (gate)
            {
                Forget(arrived);
                Begin(lossless, telemetryCredits);
            }
        }

        /// <summary>The stream broke: what belonged to it alone is gone.</summary>
        internal void Suspend()
        {
            lock (gate)
            {
                open = false;
                control.Clear();
                newest = null;
            }
        }

        /// <summary>Queues a message ahead of everything else; without a stream there is nobody to hear it.</summary>
        internal bool SendNow(ConnectRequest message)
        {
            byte[] body = message.ToBytes();
            lock (gate)
            {
                if (!open || control.Count >= MostControl)
                {
                    return false;
                }

                control.Enqueue(body);
            }

            Wake();
            return true;
        }

        /// <summary>Queues a serialized lossless message; `anyway` for what answers the twin.</summary>
        internal void SendLossless(byte[] body, bool anyway)
        {
            lock (gate)
            {
                if (kept.Count >= maxKept && !anyway)
                {
                    throw new InvalidOperationException(
                        maxKept + " messages wait for acknowledgement; wait until the twin is back.");
                }

                LinkedListNode<byte[]> added = kept.AddLast(body);
                next = next ?? added;
            }

            Wake();
        }

        /// <summary>Puts a serialized message into the newest-wins slot; what lay there is lost and counted.</summary>
        internal void Offer(byte[] body)
        {
            lock (gate)
            {
                if (!open)
                {
                    return;
                }

                Dropped += newest != null ? 1UL : 0UL;
                newest = body;
                newestSinceS = Clocks.SteadyS;
            }

            Wake();
        }

        internal void Grant(uint messages)
        {
            lock (gate)
            {
                credit += messages;
            }

            Wake();
        }

        /// <summary>The twin's lossless messages up to here were dealt with.</summary>
        internal void Acknowledge(ulong seq)
        {
            lock (gate)
            {
                ack = Math.Max(ack, seq);
            }

            Wake();
        }

        /// <summary>Our lossless messages up to here are durable in the twin.</summary>
        internal void Acknowledged(ulong seq)
        {
            lock (gate)
            {
                Forget(seq);
            }

            Wake();
        }

        /// <summary>Returns a report of losses that the twin was not told yet, or null.</summary>
        internal FlowReport TakeFlowReport()
        {
            lock (gate)
            {
                if (Dropped == droppedTold)
                {
                    return null;
                }

                droppedTold = Dropped;
                FlowReport report = new FlowReport { Channel = Channel.Telemetry, Dropped = Dropped };
                report.AgeMs = (float)(1000.0 * AgeS);
                return report;
            }
        }

        /// <summary>Writes the next envelope; false when there is nothing to say now.</summary>
        internal bool TryTake(WireWriter writer, double simTimeS)
        {
            lock (gate)
            {
                ConnectRequest header = new ConnectRequest();
                byte[] body;
                if (control.Count > 0)
                {
                    body = control.Dequeue();
                }
                else if (next != null && lastSent - firstKept + 1 < (ulong)window)
                {
                    body = next.Value;
                    next = next.Next;
                    header.Seq = ++lastSent;
                    everSent = Math.Max(everSent, lastSent);
                }
                else if (newest != null && credit > 0)
                {
                    credit--;
                    body = newest;
                    newest = null;
                    AgeS = Clocks.SteadyS - newestSinceS;
                }
                else if (ack > ackTold)
                {
                    body = new byte[0];
                }
                else
                {
                    return false;
                }

                ackTold = ack;
                header.Ack = ack;
                header.WallTimeUnixNs = Clocks.UnixNs;
                header.SimTimeS = simTimeS;
                writer.Clear();
                writer.Fields(body);
                header.WriteTo(writer); // the header's numbers are smaller, so it stands in front
                return true;
            }
        }

        /// <summary>Waits until there may be something to say.</summary>
        internal System.Threading.Tasks.Task Filled(TimeSpan atMost, CancellationToken cancel)
        {
            return filled.WaitAsync(atMost, cancel);
        }

        internal void Wake()
        {
            lock (filled)
            {
                if (filled.CurrentCount == 0)
                {
                    filled.Release();
                }
            }
        }

        private void Begin(uint lossless, uint telemetryCredits)
        {
            control.Clear();
            newest = null;
            open = true;
            lastSent = firstKept - 1;
            next = kept.First;
            window = lossless > 0 ? (int)Math.Min(lossless, int.MaxValue) : int.MaxValue;
            credit = telemetryCredits;
            ackTold = 0;
            Wake();
        }

        private void Forget(ulong seq)
        {
            if (seq > everSent)
            {
                throw new ProtocolException("The twin acknowledges " + seq + ", only " + everSent + " were sent.");
            }

            for (; firstKept <= seq; firstKept++)
            {
                if (next == kept.First)
                {
                    next = next.Next; // it was to go again, and is there after all
                }

                kept.RemoveFirst();
            }

            lastSent = Math.Max(lastSent, seq);
        }

        private T Locked<T>(Func<T> read)
        {
            lock (gate)
            {
                return read();
            }
        }
    }
}
