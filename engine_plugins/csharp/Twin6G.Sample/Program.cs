// A scene without an engine: phones walk in circles, attributes can be changed, and what happens is printed as JSON
// lines. Its loop stands where an engine's Update would: pump, move, send.
//
//   mono Twin6G.Sample.exe [--url ws://127.0.0.1:8600/bridge] [--scene main] [--provides MOTION,KPI] [--token T]
//                          [--record FILE] [--subscribe] [--quantised] [--takeover] [--seconds 10]
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Threading;
using Twin6G.Core;
using Twin6G.Wire;

namespace Twin6G.Sample
{
    public static class Program
    {
        private const double FrameS = 0.02;
        private const double TelemetryEveryS = 0.1;

        public static int Main(string[] arguments)
        {
            Dictionary<string, string> given;
            SessionOptions options;
            try
            {
                given = Arguments.Read(arguments);
                options = Options(given);
            }
            catch (FormatException wrong)
            {
                Console.Error.WriteLine(wrong.Message);
                return 2;
            }

            CirclingScene scene = new CirclingScene(options.Provides);
            using (TwinSession session = new TwinSession(options, scene, new WebSocketTransport()))
            {
                scene.Session = session;
                if (given.ContainsKey("subscribe"))
                {
                    session.Subscribe(Wanted(given.ContainsKey("quantised")));
                }

                session.Start();
                double endS = Clocks.SteadyS + Arguments.Number(given, "seconds", double.PositiveInfinity);
                double nextS = 0.0;
                while (Clocks.SteadyS < endS && session.State != SessionState.Ended)
                {
                    session.Pump(TimeSpan.FromMilliseconds(5));
                    if (session.State == SessionState.Live && Clocks.SteadyS >= nextS)
                    {
                        nextS = Clocks.SteadyS + TelemetryEveryS;
                        scene.Move();
                    }

                    Thread.Sleep(TimeSpan.FromSeconds(FrameS));
                }

                session.Stop("the sample ends");
                while (session.Pump(TimeSpan.FromMilliseconds(5)) > 0)
                {
                    // what was said to the end
                }

                Say.Line("summary").Add("streams", session.Streams).Add("resumed", session.Resumed)
                    .Add("telemetry_dropped", session.TelemetryDropped).Add("rtt_s", session.RoundTripS)
                    .Add("clock_offset_s", session.ClockOffsetS).Add("figures", scene.FiguresSeen)
                    .Add("unacknowledged", session.Unacknowledged).Print();
                return 0;
            }
        }

        private static SessionOptions Options(Dictionary<string, string> given)
        {
            SessionOptions options = new SessionOptions();
            options.Address = new Uri(Arguments.Text(given, "url", "ws://127.0.0.1:8600/bridge"));
            options.SceneId = Arguments.Text(given, "scene", "main");
            options.Token = Arguments.Text(given, "token", string.Empty);
            options.Takeover = given.ContainsKey("takeover");
            options.Engine = "csharp-sample";
            options.Capabilities = new Capabilities();
            options.Capabilities.CameraCodecs.Add("raw");
            string record = Arguments.Text(given, "record", string.Empty);
            if (record.Length > 0)
            {
                options.Record = new FileCommandRecord(record);
            }

            List<Provision> provides = new List<Provision>();
            foreach (string name in Arguments.Text(given, "provides", "MOTION").Split(','))
            {
                provides.Add((Provision)Enum.Parse(typeof(Provision), name, true));
            }

            options.Provides = provides.ToArray();
            return options;
        }

        private static Subscribe Wanted(bool quantised)
        {
            Subscribe wanted = new Subscribe { Channels = new[] { Channel.Telemetry, Channel.Events, Channel.Alarms } };
            wanted.Encoding = quantised ? Encoding.QuantisedInt16 : Encoding.Float32;
            return wanted;
        }
    }

    /// <summary>Reads `--name value` and `--switch`.</summary>
    internal static class Arguments
    {
        private static readonly HashSet<string> Switches = new HashSet<string> { "subscribe", "quantised", "takeover" };

        internal static Dictionary<string, string> Read(string[] arguments)
        {
            Dictionary<string, string> given = new Dictionary<string, string>();
            for (int i = 0; i < arguments.Length; i++)
            {
                string name = arguments[i].StartsWith("--", StringComparison.Ordinal) ? arguments[i].Substring(2) : "";
                if (name.Length == 0 || (!Switches.Contains(name) && i + 1 == arguments.Length))
                {
                    throw new FormatException("cannot read `" + arguments[i] + "`; see the head of Program.cs");
                }

                given[name] = Switches.Contains(name) ? string.Empty : arguments[++i];
            }

            return given;
        }

        internal static string Text(Dictionary<string, string> given, string name, string otherwise)
        {
            string value;
            return given.TryGetValue(name, out value) ? value : otherwise;
        }

        internal static double Number(Dictionary<string, string> given, string name, double otherwise)
        {
            string value;
            return given.TryGetValue(name, out value) ? double.Parse(value, CultureInfo.InvariantCulture) : otherwise;
        }
    }
}
