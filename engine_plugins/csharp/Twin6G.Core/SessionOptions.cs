// Who a session is and how it behaves.
using System;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>Where a session stands.</summary>
    public enum SessionState
    {
        /// <summary>Not started.</summary>
        Idle,

        /// <summary>Reaching for the twin, or waiting for Welcome, inventory and configuration.</summary>
        Connecting,

        /// <summary>The stream is open and everything is known: figures may go.</summary>
        Live,

        /// <summary>The stream broke or the twin asked for patience; the next attempt is near.</summary>
        Waiting,

        /// <summary>Over for good; the reason says why.</summary>
        Ended,
    }

    /// <summary>Who a session is and how it behaves. Change nothing after the start.</summary>
    public sealed class SessionOptions
    {
        /// <summary>Address of the twin.</summary>
        public Uri Address = new Uri("ws://127.0.0.1:8600/bridge");

        /// <summary>What the client is.</summary>
        public Role Role = Role.Scene;

        /// <summary>Slug of the scene.</summary>
        public string SceneId = "main";

        /// <summary>What the scene provides.</summary>
        public Provision[] Provides = { Provision.Motion };

        /// <summary>Name of the engine.</summary>
        public string Engine = "csharp";

        /// <summary>Version of the engine and of the plugin.</summary>
        public string EngineVersion = string.Empty;

        /// <summary>The engine's own axes.</summary>
        public Frame Frame = Frame.Enu;

        /// <summary>What the client can do beyond the least; null = nothing.</summary>
        public Capabilities Capabilities;

        /// <summary>Bearer token; goes into Hello and nowhere else.</summary>
        public string Token = string.Empty;

        /// <summary>Number of the scene's run of time.</summary>
        public uint Epoch = 1;

        /// <summary>Whether to push out another client that holds what this scene provides. Only the first Hello says
        /// so: who was pushed out later stays out.</summary>
        public bool Takeover;

        /// <summary>Where answers to commands are kept.</summary>
        public ICommandRecord Record = new MemoryCommandRecord();

        /// <summary>Most lossless messages that are kept while the twin is away.</summary>
        public int MaxKept = 4096;

        /// <summary>Telemetry messages that the twin may have under way to this client after Subscribe.</summary>
        public uint TelemetryCredits = 2;

        /// <summary>How long the twin may take to answer Hello.</summary>
        public double WelcomeTimeoutS = 10.0;
    }
}
