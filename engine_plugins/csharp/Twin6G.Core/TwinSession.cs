// A session with the twin: the state machine of docs/bridge.md, without any engine.
//
// Two threads meet here. The network's (SessionNetwork.cs) connects, keeps the stream alive, checks numbers, and puts
// what concerns the scene into a queue. The engine's (this file) calls Pump, as an Update would, which empties the
// queue within a budget; lossless messages are acknowledged when they were dealt with there. A game that stands still
// for a while therefore stays connected, and misses nothing.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>Connects a scene with the twin, comes back after breaks, and hands over what the twin says.</summary>
    public sealed partial class TwinSession : IDisposable
    {
        private const int PicturePartBytes = 256 * 1024;
        private const int HeaderBytes = 64;
        private readonly SessionOptions options;
        private readonly TwinScene scene;
        private readonly ITransport transport;
        private readonly Outbox outbox;
        private readonly CommandDesk desk;
        private readonly ConcurrentQueue<Item> inbox = new ConcurrentQueue<Item>();
        private readonly CancellationTokenSource cut = new CancellationTokenSource();
        private readonly List<EntityAttribute> configuration = new List<EntityAttribute>();
        private Task running;
        private volatile bool stopping;
        private volatile int generation;
        private int waiting;
        private Welcome welcome;
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
            outbox.Offer(Sized(new ConnectRequest { Telemetry = batch }));
            return true;
        }

        /// <summary>Tells something that must not get lost: PmReport, LiveNotice, ObservedConfiguration, Event, Alarm
        /// or Contribute. Kept until the twin has it, over breaks and restarts of the twin.</summary>
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
                    outbox.SendLossless(Sized(message), false);
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
            outbox.SendLossless(new ConnectRequest { CommandAck = ack }.ToBytes(), true);
        }

        /// <summary>Returns the message as bytes; throws for one that the twin would end the stream over.</summary>
        private byte[] Sized(ConnectRequest message)
        {
            byte[] body = message.ToBytes();
            Welcome said = Welcome;
            if (said != null && said.MaxMessageBytes > 0 && body.Length + HeaderBytes > said.MaxMessageBytes)
            {
                throw new ArgumentException(
                    "A " + message.Body + " of " + body.Length + " bytes; the twin takes " + said.MaxMessageBytes + ".",
                    "message");
            }

            return body;
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
    }
}
