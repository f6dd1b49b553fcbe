// What an engine makes of a session: override what concerns you.
using System.Collections.Generic;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>What an engine makes of a session. Every method is called by Pump, on the caller's thread.</summary>
    public abstract class TwinScene
    {
        /// <summary>The session stands elsewhere now; `reason` says why, in plain words.</summary>
        public virtual void StateChanged(SessionState state, string reason)
        {
        }

        /// <summary>The inventory is complete, or changed.</summary>
        public virtual void InventoryChanged(Inventory inventory)
        {
        }

        /// <summary>The configuration that the scene must have is complete.</summary>
        public virtual void Desired(IList<EntityAttribute> attributes)
        {
        }

        /// <summary>The stream can be used; once per connection, after inventory and configuration. A scene that
        /// provides KPI now tells its ObservedConfiguration (rule D1).</summary>
        public virtual void Ready(Welcome welcome, bool resumed)
        {
        }

        /// <summary>Does what a command says, as a whole or not at all, and returns what the scene reads back. Throws
        /// <see cref="CommandRejectedException"/> for what cannot be meant. With `DryRun` it changes nothing.</summary>
        public virtual IList<EntityAttribute> Obey(Command command)
        {
            throw new CommandRejectedException("this scene obeys no commands");
        }

        /// <summary>Figures that were subscribed to; their indices fit the inventory.</summary>
        public virtual void FiguresArrived(Telemetry batch)
        {
        }

        /// <summary>Takes a picture for the twin: a frame whose `Data` is the whole picture (the session cuts it), or
        /// with a `Reason`.</summary>
        public virtual CameraFrame TakePicture(CameraRequest request)
        {
            return new CameraFrame { Reason = "this scene has no camera" };
        }

        /// <summary>Anything else that the twin says: reports, events, alarms, presence, notices, replies.</summary>
        public virtual void Heard(ConnectResponse message)
        {
        }
    }
}
