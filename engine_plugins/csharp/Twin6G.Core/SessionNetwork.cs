// The network's side of a session: connects, keeps the stream alive, comes back (rules B1-B6, R1-R8, H1, H2).
//
// Everything here runs in the background; what concerns the scene goes into the queue that Pump empties.
using System;
using System.Threading;
using System.Threading.Tasks;
using Twin6G.Wire;

namespace Twin6G.Core
{
    public sealed partial class TwinSession
    {
        private const int MostWaiting = 65536;
        private const double LongestWaitS = 3600.0;
        private const double DefaultHeartbeatS = 2.0;
        private readonly Backoff backoff;
        private readonly Receipts receipts = new Receipts();
        private volatile bool everWelcome;
        private ResumePoint resume;
        private double heardAtS;
        private ulong probes;

        private async Task Run()
        {
            while (true)
            {
                int before = Streams;
                string reason = "the twin ended the stream";
                double waitS = 0.0;
                try
                {
                    reason = await OneStream().ConfigureAwait(false);
                }
                catch (RefusedException refused)
                {
                    if (refused.RetryAfterS <= 0.0)
                    {
                        End(refused.Message);
                        return;
                    }

                    reason = refused.Message;
                    waitS = Math.Min(refused.RetryAfterS, LongestWaitS);
                }
                catch (TransportException broken)
                {
                    reason = broken.Message;
                }
                catch (ProtocolException fault)
                {
                    End(fault.Message);
                    return;
                }
                catch (WireException fault)
                {
                    End("the twin sent bytes that are no message: " + fault.Message);
                    return;
                }
                catch (Exception failure)
                {
                    End("the session failed: " + failure);
                    return;
                }

                outbox.Suspend();
                if (stopping)
                {
                    End(reason);
                    return;
                }

                if (Streams > before)
                {
                    backoff.Reset();
                }

                Enqueue(Item.Of(SessionState.Waiting, reason));
                try
                {
                    await Task.Delay(TimeSpan.FromSeconds(waitS + backoff.NextS()), cut.Token).ConfigureAwait(false);
                }
                catch (OperationCanceledException)
                {
                    End("stopped");
                    return;
                }

                Enqueue(Item.Of(SessionState.Connecting, reason));
            }
        }

        private void End(string reason)
        {
            outbox.Suspend();
            Enqueue(Item.Of(SessionState.Ended, reason));
        }

        /// <summary>Serves one stream and returns why it ended.</summary>
        private async Task<string> OneStream()
        {
            using (CancellationTokenSource over = CancellationTokenSource.CreateLinkedTokenSource(cut.Token))
            using (IConnection connection = await transport.Connect(options.Address, over.Token).ConfigureAwait(false))
            {
                await connection.Send(Hello(), over.Token).ConfigureAwait(false);
                Begin(await First(connection, over).ConfigureAwait(false));
                Task<string> reading = Read(connection, over.Token);
                Task<string> writing = Write(connection, over.Token);
                Task<string> first = await Task.WhenAny(reading, writing).ConfigureAwait(false);
                over.Cancel();
                connection.Dispose();
                Task<string> second = first == reading ? writing : reading;
                try
                {
                    await second.ConfigureAwait(false);
                }
                catch (Exception)
                {
                    // It was cut off on purpose; what counts is why the first one ended.
                }

                return await first.ConfigureAwait(false);
            }
        }

        private ArraySegment<byte> Hello()
        {
            Hello hello = new Hello();
            hello.ProtocolMin = 1;
            hello.ProtocolMax = 1;
            hello.Role = options.Role;
            hello.SceneId = options.SceneId;
            hello.Provides = options.Provides;
            hello.Engine = options.Engine;
            hello.EngineVersion = options.EngineVersion;
            hello.Frame = options.Frame;
            hello.Capabilities = options.Capabilities;
            hello.Token = options.Token;
            hello.Epoch = options.Epoch;
            hello.Takeover = options.Takeover && !everWelcome;
            if (resume != null)
            {
                // What arrived is in this program's memory, dealt with or not: it need not come again.
                resume.LastSeq = receipts.Last;
                hello.Resume = resume;
            }

            ConnectRequest request = new ConnectRequest { Hello = hello };
            request.WallTimeUnixNs = Clocks.UnixNs;
            request.SimTimeS = SimTimeS;
            return new ArraySegment<byte>(request.ToBytes());
        }

        private async Task<ConnectResponse> First(IConnection connection, CancellationTokenSource over)
        {
            Task<ArraySegment<byte>> receiving = connection.Receive(over.Token);
            Task patience = Task.Delay(TimeSpan.FromSeconds(options.WelcomeTimeoutS), over.Token);
            if (await Task.WhenAny(receiving, patience).ConfigureAwait(false) != receiving)
            {
                over.Cancel();
                throw new TransportException("the twin did not answer Hello in time", null);
            }

            ArraySegment<byte> bytes = await receiving.ConfigureAwait(false);
            if (bytes.Array == null)
            {
                throw new TransportException("the twin ended the stream before Welcome: " + connection.EndReason, null);
            }

            return ConnectResponse.Parse(new WireReader(bytes.Array, bytes.Offset, bytes.Count));
        }

        private void Begin(ConnectResponse first)
        {
            if (first.Refusal != null)
            {
                throw new RefusedException(first.Refusal);
            }

            Welcome said = first.Welcome;
            if (said == null)
            {
                throw new ProtocolException("The twin began with " + first.Body + ", not with Welcome.");
            }

            if (said.Resumed)
            {
                if (resume == null || resume.SessionId != said.SessionId)
                {
                    throw new ProtocolException("The twin resumes a session that was not asked for.");
                }

                outbox.Resume(first.Ack, said.LosslessWindow, said.TelemetryCredits);
                receipts.Resume();
                Resumed++;
            }
            else
            {
                outbox.Restart(said.LosslessWindow, said.TelemetryCredits);
                receipts.Restart();
                generation++;
            }

            resume = said.ResumeToken.Length > 0
                ? new ResumePoint { SessionId = said.SessionId, ResumeToken = said.ResumeToken }
                : null;
            Volatile.Write(ref welcome, said);
            everWelcome = true;
            Streams++;
            heardAtS = Clocks.SteadyS;
            Enqueue(Item.Of(first, generation));
        }

        private async Task<string> Read(IConnection connection, CancellationToken cancel)
        {
            while (true)
            {
                ArraySegment<byte> bytes = await connection.Receive(cancel).ConfigureAwait(false);
                if (bytes.Array == null)
                {
                    return connection.EndReason.Length > 0 ? connection.EndReason : "the twin ended the stream";
                }

                heardAtS = Clocks.SteadyS;
                WireReader reader = new WireReader(bytes.Array, bytes.Offset, bytes.Count);
                ConnectResponse message = ConnectResponse.Parse(reader);
                if (message.Ack > 0)
                {
                    outbox.Acknowledged(message.Ack);
                }

                if (message.Seq > 0 && !receipts.Arrived(message.Seq))
                {
                    continue; // it was here before the stream broke
                }

                Take(message, reader.UnknownFields > 0);
            }
        }

        /// <summary>Deals at once with what keeps the stream alive; the rest is the scene's.</summary>
        private void Take(ConnectResponse message, bool hasUnknown)
        {
            switch (message.Body)
            {
                case ConnectResponse.BodyKind.Heartbeat:
                    HeartbeatReply reply = new HeartbeatReply();
                    reply.Number = message.Heartbeat.Number;
                    reply.SentUnixNs = message.Heartbeat.SentUnixNs;
                    reply.ReceivedUnixNs = Clocks.UnixNs;
                    outbox.SendNow(new ConnectRequest { HeartbeatReply = reply });
                    FlowReport losses = outbox.TakeFlowReport();
                    if (losses != null)
                    {
                        outbox.SendNow(new ConnectRequest { FlowReport = losses });
                    }

                    break;
                case ConnectResponse.BodyKind.HeartbeatReply:
                    TakeClock(message.HeartbeatReply);
                    break;
                case ConnectResponse.BodyKind.Credit:
                    if (message.Credit.Channel == Channel.Telemetry)
                    {
                        outbox.Grant(message.Credit.Messages);
                    }

                    break;
                case ConnectResponse.BodyKind.Refusal:
                    throw new RefusedException(message.Refusal);
                case ConnectResponse.BodyKind.None:
                    UnknownBodies += hasUnknown ? 1UL : 0UL;
                    if (message.Seq > 0)
                    {
                        Enqueue(Item.Of(message, generation));
                    }

                    break;
                default:
                    Enqueue(Item.Of(message, generation));
                    if (message.Notice != null && message.Notice.Code == NoticeCode.TakenOver)
                    {
                        throw new ProtocolException(message.Notice.Message + "; this one gives way");
                    }

                    break;
            }
        }

        /// <summary>The offset assumes that both ways take equally long.</summary>
        private void TakeClock(HeartbeatReply reply)
        {
            double nowNs = Clocks.UnixNs;
            RoundTripS = (nowNs - reply.SentUnixNs) / 1e9;
            ClockOffsetS = (reply.ReceivedUnixNs - ((nowNs + reply.SentUnixNs) / 2.0)) / 1e9;
        }

        private async Task<string> Write(IConnection connection, CancellationToken cancel)
        {
            double interval = Welcome.HeartbeatIntervalS > 0.0 ? Welcome.HeartbeatIntervalS : DefaultHeartbeatS;
            double nextProbeS = Clocks.SteadyS + interval;
            WireWriter writer = new WireWriter(4096);
            while (true)
            {
                double nowS = Clocks.SteadyS;
                if (nowS - Volatile.Read(ref heardAtS) > 3.0 * interval)
                {
                    return "the twin gave no sign of life for three heartbeats";
                }

                if (nowS >= nextProbeS)
                {
                    nextProbeS = nowS + interval;
                    Heartbeat probe = new Heartbeat { Number = ++probes, SentUnixNs = Clocks.UnixNs };
                    outbox.SendNow(new ConnectRequest { Heartbeat = probe });
                }

                while (outbox.TryTake(writer, SimTimeS))
                {
                    await connection.Send(writer.Written, cancel).ConfigureAwait(false);
                }

                double pauseS = Math.Max(0.001, nextProbeS - Clocks.SteadyS);
                try
                {
                    await outbox.Filled(TimeSpan.FromSeconds(pauseS), cancel).ConfigureAwait(false);
                }
                catch (OperationCanceledException)
                {
                    return "stopped";
                }
            }
        }

        private void Enqueue(Item item)
        {
            if (Interlocked.Increment(ref waiting) > MostWaiting && item.Message != null)
            {
                throw new ProtocolException(MostWaiting + " messages wait; call Pump, or the twin sends too much.");
            }

            inbox.Enqueue(item);
        }

        private sealed class RefusedException : Exception
        {
            internal RefusedException(Refusal refusal)
                : base(refusal.Code + ": " + refusal.Message)
            {
                RetryAfterS = refusal.RetryAfterS;
            }

            internal double RetryAfterS { get; private set; }
        }
    }
}
