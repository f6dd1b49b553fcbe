// Clocks: wall time for the wire, a steady one for waiting, and the pauses between attempts to connect.
using System;
using System.Diagnostics;
using System.Globalization;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>Time as the contract counts it.</summary>
    public static class Clocks
    {
        private static readonly DateTime UnixEpoch = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        private static readonly Stopwatch Running = Stopwatch.StartNew();

        /// <summary>Wall clock, nanoseconds since 1970.</summary>
        public static ulong UnixNs
        {
            get { return (ulong)(DateTime.UtcNow - UnixEpoch).Ticks * 100UL; }
        }

        /// <summary>Seconds of a clock that is never set.</summary>
        public static double SteadyS
        {
            get { return Running.Elapsed.TotalSeconds; }
        }

        /// <summary>The simulated moment at which a scene goes live: wall now in seconds since the epoch of Welcome,
        /// never before what the twin remembers.</summary>
        public static double FirstMomentS(Welcome welcome)
        {
            double resumed = welcome.HasResumeTime ? welcome.ResumeAtSimS : 0.0;
            DateTimeOffset epoch = DateTimeOffset.Parse(welcome.SimEpoch, CultureInfo.InvariantCulture);
            return Math.Max(resumed, (DateTimeOffset.UtcNow - epoch).TotalSeconds);
        }
    }

    /// <summary>Pauses between attempts: a random share of one that doubles (rule R8).</summary>
    public sealed class Backoff
    {
        private const double FirstS = 0.25;
        private readonly Random random = new Random();
        private readonly double longestS;
        private double nextS = FirstS;

        /// <summary>At most 2 s towards this machine, 30 s elsewhere.</summary>
        public Backoff(bool loopback)
        {
            longestS = loopback ? 2.0 : 30.0;
        }

        /// <summary>Begins again with the shortest; an attempt succeeded.</summary>
        public void Reset()
        {
            nextS = FirstS;
        }

        /// <summary>Returns how long to wait before the next attempt.</summary>
        public double NextS()
        {
            double pauseS = random.NextDouble() * nextS;
            nextS = Math.Min(2.0 * nextS, longestS);
            return pauseS;
        }
    }
}
