// A session with the twin: the state machine of docs/bridge.md, without any engine.
//
// Two threads meet here. The network's runs Run and everything below it: it connects, keeps the stream alive, checks
// numbers, and puts what concerns the scene into a queue. The engine's thread calls Pump, as an Update would, which
// empties the queue within a budget; lossless messages are acknowledged when they were dealt with there. A game that
// stands still for a while therefore stays connected, and misses nothing.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>Connects a scene with the twin, comes back after breaks, and hands over what the twin says.</summary>
    public sealed class TwinSession : IDisposable
    {
        private const int MostWaiting = 65536;
        private const int PicturePartBytes = 256 * 1024;
        private const int HeaderBytes = 64;
        private const double LongestWaitS = 3600.0;
        private const double DefaultHeartbeatS = 2.0;
        private readonly SessionOptions options;
        private readonly TwinScene scene;
        private readonly ITransport transport;
        private readonly Outbox outbox;
        private readonly CommandDesk desk;
        private readonly Backoff backoff;
        private readonly Receipts receipts = new Receipts();
        private readonly ConcurrentQueue<Item> inbox = new ConcurrentQueue<Item>();
        private readonly CancellationTokenSource cut = new CancellationTokenSource();
        private readonly List<EntityAttribute> configuration = new List<EntityAttribute>();
        private Task running;
        private volatile bool stopping;
        private volatile int generation;
        private volatile bool everWelcome;
        private int waiting;
        private ResumePoint resume;
        private Welcome welcome;
        private double heardAtS;
        private ulong probes;
        private double simTimeS;
        private ulong telemetryNumber;
        private Subscribe subscription;
        private bool complete;
        private Item unfinished;

        /// <summary>Makes a session; nothing happens before Start.</summary>
        public TwinSession(SessionOptions options, TwinScene scene, ITransport transport)
        {
            this.options = options;
            this.scene = scene;
            this.transport = transport;
            outbox = new Outbox(options.MaxKept);
            backoff = new Backoff(options.Address.IsLoopback);
            desk = new CommandDesk(options.Record, scene.Obey, Answer);
            Inventory = new Inventory();
            Reason = string.Empty;
            RoundTripS = double.NaN;
            ClockOffsetS = double.NaN;
        }

        /// <summary>Where the session stands, as Pump told the scene last.</summary>
        public SessionState State { get; private set; }

        /// <summary>Why it stands there.</summary>
        public string Reason { get; private set; }

        /// <summary>What exists. For the engine's thread.</summary>
        public Inventory Inventory { get; private set; }

        /// <summary>What the twin said when it let us in last; null before.</summary>
        public Welcome Welcome
        {
            get { return Volatile.Read(ref welcome); }
        }

        /// <summary>The scene's simulated now; stands in the header of every message.</summary>
        public double SimTimeS
        {
            get { return Volatile.Read(ref simTimeS); }
            set { Volatile.Write(ref simTimeS, value); }
        }

        /// <summary>Streams on which the twin let us in.</summary>
        public int Streams { get; private set; }

        /// <summary>Those of them that went on with the earlier session.</summary>
        public int Resumed { get; private set; }

        /// <summary>Telemetry that a newer one replaced before it could be sent, in this session.</summary>
        public ulong TelemetryDropped
        {
            get { return outbox.Dropped; }
        }

        /// <summary>Subscribed Telemetry whose indices no longer fitted the inventory (rule F3).</summary>
        public ulong TelemetryMisfits { get; private set; }

        /// <summary>Messages of kinds that this client does not know (rule B5).</summary>
        public ulong UnknownBodies { get; private set; }

        /// <summary>Lossless messages of ours that the twin has not acknowledged.</summary>
        public int Unacknowledged
        {
            get { return outbox.Depth; }
        }

        /// <summary>Round-trip time of the last heartbeat; NaN before the first answer.</summary>
        public double RoundTripS { get; private set; }

        /// <summary>The twin's clock minus ours; NaN before the first answer.</summary>
        public double ClockOffsetS { get; private set; }

        /// <summary>Connects, and stays connected in the background.</summary>
        public void Start()
        {
            if (running != null)
            {
                throw new InvalidOperationException("The session was started already.");
            }

            Become(SessionState.Connecting, "reaching for " + options.Address);
            running = Task.Run(() => Run());
        }

        /// <summary>Deals with what arrived until nothing waits or the budget is used up; at least one message. Returns
        /// how many were dealt with. Exceptions of the scene's own methods pass through, after the message that caused
        /// them was acknowledged.</summary>
        public int Pump(TimeSpan budget)
        {
            double endS = Clocks.SteadyS + budget.TotalSeconds;
            int count = 0;
            do
            {
                Item item = unfinished;
                unfinished = null;
                if (item == null)
                {
                    if (!inbox.TryDequeue(out item))
                    {
                        break;
                    }

                    Interlocked.Decrement(ref waiting);
                }

                if (!Deal(item))
                {
                    unfinished = item;
                    break;
                }

                count++;
            }
            while (Clocks.SteadyS < endS);
            return count;
        }

        /// <summary>Sends the positions and gauges of one moment; newest wins, never waits. Fills in epoch, number and
        /// revision. False when there is no stream to send it on.</summary>
        public bool SendTelemetry(Telemetry batch)
        {
            if (State != SessionState.Live)
            {
                return false;
            }

            batch.Epoch = options.Epoch;
            batch.Number = ++telemetryNumber;
            batch.Revision = Inventory.Revision;
            outbox.Offer(new ConnectRequest { Telemetry = batch });
            return true;
        }

        /// <summary>Tells something that must not get lost: PmReport, LiveNotice, ObservedConfiguration, Event, Alarm or
        /// Contribute. Kept until the twin has it, over breaks and restarts of the twin.</summary>
        public void Tell(ConnectRequest message)
        {
            switch (message.Body)
            {
                case ConnectRequest.BodyKind.PmReport:
                case ConnectRequest.BodyKind.LiveNotice:
                case ConnectRequest.BodyKind.ObservedConfiguration:
                case ConnectRequest.BodyKind.Event:
                case ConnectRequest.BodyKind.Alarm:
                case ConnectRequest.BodyKind.Contribute:
                    outbox.SendLossless(message, false);
                    break;
                default:
                    throw new ArgumentException("A " + message.Body + " is not lossless; use Say.", "message");
            }
        }

        /// <summary>Says something that counts only now, such as Presence. False when there is no stream.</summary>
        public bool Say(ConnectRequest message)
        {
            return State == SessionState.Live && outbox.SendNow(message);
        }

        /// <summary>Asks the twin for figures and news; the last call counts, also after the twin forgot us.</summary>
        public void Subscribe(Subscribe wanted)
        {
            subscription = wanted;
            if (State == SessionState.Live)
            {
                outbox.SendNow(new ConnectRequest { Subscribe = wanted });
                GrantTelemetry(options.TelemetryCredits);
            }
        }

        /// <summary>Leaves for good and waits a moment for the twin to hear it.</summary>
        public void Stop(string reason)
        {
            stopping = true;
            outbox.SendNow(new ConnectRequest { Goodbye = new Goodbye { Reason = reason } });
            if (running != null && !running.Wait(500))
            {
                cut.Cancel();
                running.Wait(1000);
            }
        }

        /// <summary>Cuts the stream at once; the twin keeps the session for a while, as after a crash.</summary>
        public void Dispose()
        {
            stopping = true;
            cut.Cancel();
        }

        // The network's side.
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

        // The engine's side.
        private bool Deal(Item item)
        {
            if (item.Message == null)
            {
                Become(item.State, item.Reason);
                return true;
            }

            if (item.Generation != generation)
            {
                return true; // of a session that the twin has forgotten: the new one tells everything again
            }

            bool done = true;
            try
            {
                done = Tell(item);
            }
            finally
            {
                if (done && item.Message.Seq > 0)
                {
                    outbox.Acknowledge(item.Message.Seq);
                }
            }

            return done;
        }

        private bool Tell(Item item)
        {
            ConnectResponse message = item.Message;
            switch (message.Body)
            {
                case ConnectResponse.BodyKind.Welcome:
                    Welcomed(message.Welcome);
                    break;
                case ConnectResponse.BodyKind.TopologySnapshot:
                    if (Inventory.Take(message.TopologySnapshot))
                    {
                        scene.InventoryChanged(Inventory);
                    }

                    break;
                case ConnectResponse.BodyKind.TopologyDelta:
                    TakeDelta(message.TopologyDelta);
                    break;
                case ConnectResponse.BodyKind.DesiredConfiguration:
                    TakeDesired(message.DesiredConfiguration);
                    break;
                case ConnectResponse.BodyKind.Command:
                    return desk.Take(message.Command, Inventory.Revision, Welcome.FencingNumber, SimTimeS);
                case ConnectResponse.BodyKind.Telemetry:
                    GrantTelemetry(1);
                    TakeTelemetry(message.Telemetry);
                    break;
                case ConnectResponse.BodyKind.StateRequest:
                    StateChunk none = new StateChunk { RequestId = message.StateRequest.RequestId, Last = true };
                    none.Reason = "this scene keeps no state";
                    outbox.SendNow(new ConnectRequest { StateChunk = none });
                    break;
                case ConnectResponse.BodyKind.CameraRequest:
                    SendPicture(message.CameraRequest, scene.TakePicture(message.CameraRequest));
                    break;
                case ConnectResponse.BodyKind.None:
                    break;
                default:
                    scene.Heard(message);
                    break;
            }

            return true;
        }

        private void Become(SessionState state, string reason)
        {
            State = state;
            Reason = reason;
            scene.StateChanged(state, reason);
        }

        private void Welcomed(Welcome said)
        {
            if (!said.Resumed)
            {
                Inventory.Restart();
                configuration.Clear();
                complete = false;
            }
            else if (complete)
            {
                BeReady(said, true);
            }
        }

        private void BeReady(Welcome said, bool resumed)
        {
            if (subscription != null)
            {
                if (!resumed)
                {
                    outbox.SendNow(new ConnectRequest { Subscribe = subscription }); // it outlives a resumed break
                }

                GrantTelemetry(options.TelemetryCredits); // credits do not (rule R5)
            }

            Become(SessionState.Live, resumed ? "resumed" : "connected");
            scene.Ready(said, resumed);
        }

        private void TakeDelta(TopologyDelta delta)
        {
            if (Inventory.Take(delta))
            {
                scene.InventoryChanged(Inventory);
                return;
            }

            TopologyRequest request = new TopologyRequest { HaveRevision = Inventory.Revision };
            outbox.SendNow(new ConnectRequest { TopologyRequest = request });
        }

        private void TakeDesired(DesiredConfiguration part)
        {
            configuration.AddRange(part.Attributes);
            if (!part.Last)
            {
                return;
            }

            List<EntityAttribute> whole = new List<EntityAttribute>(configuration);
            configuration.Clear();
            scene.Desired(whole);
            if (!complete)
            {
                complete = true;
                BeReady(Welcome, false);
            }
        }

        private void TakeTelemetry(Telemetry batch)
        {
            if (batch.Revision < Inventory.IndexRevision || batch.Revision > Inventory.Revision)
            {
                TelemetryMisfits++;
                return;
            }

            scene.FiguresArrived(batch);
        }

        private void GrantTelemetry(uint messages)
        {
            if (subscription != null && Array.IndexOf(subscription.Channels, Channel.Telemetry) >= 0)
            {
                Credit credit = new Credit { Channel = Channel.Telemetry, Messages = messages };
                outbox.SendNow(new ConnectRequest { Credit = credit });
            }
        }

        private void Answer(CommandAck ack)
        {
            outbox.SendLossless(new ConnectRequest { CommandAck = ack }, true);
        }

        /// <summary>Sends a picture in parts; asked for, it needs no credit (rule M1).</summary>
        private void SendPicture(CameraRequest request, CameraFrame picture)
        {
            byte[] whole = picture.Data;
            int at = 0;
            do
            {
                int count = Math.Min(PicturePartBytes, whole.Length - at);
                CameraFrame part = CameraFrame.Parse(PictureHead(request, picture, whole.Length));
                part.Offset = (ulong)at;
                part.Data = new byte[count];
                Buffer.BlockCopy(whole, at, part.Data, 0, count);
                at += count;
                part.Last = at == whole.Length;
                outbox.SendNow(new ConnectRequest { CameraFrame = part });
            }
            while (at < whole.Length);
        }

        private static byte[] PictureHead(CameraRequest request, CameraFrame picture, int totalBytes)
        {
            picture.Data = new byte[0];
            picture.RequestId = request.RequestId;
            picture.CameraId = request.CameraId;
            picture.TotalBytes = (uint)totalBytes;
            return picture.ToBytes();
        }

        /// <summary>Something for the engine's thread: a message of the twin, or a change of state.</summary>
        private sealed class Item
        {
            internal ConnectResponse Message { get; private set; }

            internal int Generation { get; private set; }

            internal SessionState State { get; private set; }

            internal string Reason { get; private set; }

            internal static Item Of(ConnectResponse message, int generation)
            {
                return new Item { Message = message, Generation = generation };
            }

            internal static Item Of(SessionState state, string reason)
            {
                return new Item { State = state, Reason = reason };
            }
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
