// How a scene obeys: each command once, with an answer that holds (rules C1-C7, O4).
using System;
using System.Collections.Generic;
using System.IO;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>Thrown by a scene's handler for an order that cannot be meant; nothing was changed.</summary>
    public sealed class CommandRejectedException : Exception
    {
        public CommandRejectedException(string reason)
            : base(reason)
        {
        }
    }

    /// <summary>Takes commands in their order and answers them. Belongs to the engine's thread.</summary>
    internal sealed class CommandDesk
    {
        private const int LongestReason = 4096;
        private readonly Dictionary<string, CommandAck> known = new Dictionary<string, CommandAck>();
        private readonly Queue<string> oldestFirst = new Queue<string>();
        private readonly ICommandRecord record;
        private readonly Func<Command, IList<EntityAttribute>> obey;
        private readonly Action<CommandAck> answer;
        private CommandAck unrecorded;

        /// <summary>`obey` does what a command says and returns what the scene reads back; `answer` tells the twin.
        /// </summary>
        internal CommandDesk(
            ICommandRecord record, Func<Command, IList<EntityAttribute>> obey, Action<CommandAck> answer)
        {
            this.record = record;
            this.obey = obey;
            this.answer = answer;
            foreach (CommandAck kept in record.Load())
            {
                Remember(kept);
            }
        }

        /// <summary>Deals with a command; false when its answer cannot be made durable now: call again later.</summary>
        internal bool Take(Command command, ulong revision, ulong fencingNumber, double simTimeS)
        {
            if (unrecorded != null)
            {
                string waiting = unrecorded.CommandId;
                if (!Record())
                {
                    return false;
                }

                if (waiting == command.Id)
                {
                    return true;
                }
            }

            CommandAck before;
            if (known.TryGetValue(command.Id, out before))
            {
                answer(before);
                return true;
            }

            answer(new CommandAck { CommandId = command.Id, Stage = CommandStage.Received, SimTimeS = simTimeS });
            if (command.FencingNumber > 0 && command.FencingNumber < fencingNumber)
            {
                // Not kept: the same command may come again from who holds the scene now.
                answer(No(command, CommandStage.Rejected, simTimeS, "sent under the ownership " + command.FencingNumber
                    + " of the scene, which is " + fencingNumber + " now"));
                return true;
            }

            CommandAck final = Late(command, revision, simTimeS) ?? Outcome(command, simTimeS);
            if (command.DryRun)
            {
                answer(final);
                return true;
            }

            unrecorded = final;
            return Record();
        }

        private static CommandAck Late(Command command, ulong revision, double simTimeS)
        {
            if (command.DeadlineUnixNs > 0 && Clocks.UnixNs > command.DeadlineUnixNs)
            {
                return No(command, CommandStage.Expired, simTimeS, "the deadline had passed");
            }

            if (command.ExpectedRevision > 0 && command.ExpectedRevision != revision)
            {
                return No(command, CommandStage.Rejected, simTimeS, "made for the revision " + command.ExpectedRevision
                    + ", the scene is at " + revision);
            }

            if (command.Body == Command.BodyKind.None)
            {
                return No(command, CommandStage.Rejected, simTimeS, "this scene does not understand the order");
            }

            return null;
        }

        private static CommandAck No(Command command, CommandStage stage, double simTimeS, string reason)
        {
            string told = reason.Length > LongestReason ? reason.Substring(0, LongestReason) : reason;
            return new CommandAck { CommandId = command.Id, Stage = stage, SimTimeS = simTimeS, Reason = told };
        }

        private CommandAck Outcome(Command command, double simTimeS)
        {
            try
            {
                CommandAck applied = new CommandAck();
                applied.CommandId = command.Id;
                applied.Stage = CommandStage.Applied;
                applied.SimTimeS = simTimeS;
                applied.Observed.AddRange(obey(command));
                return applied;
            }
            catch (CommandRejectedException refused)
            {
                return No(command, CommandStage.Rejected, simTimeS, refused.Message);
            }
            catch (Exception failure)
            {
                // Whatever the scene's own code throws, the twin gets an answer.
                return No(command, CommandStage.Failed, simTimeS, failure.GetType().Name + ": " + failure.Message);
            }
        }

        private bool Record()
        {
            try
            {
                record.Keep(unrecorded);
            }
            catch (IOException)
            {
                return false; // it took effect and cannot be promised: no answer is the only true one for now
            }

            CommandAck final = unrecorded;
            unrecorded = null;
            Remember(final);
            answer(final);
            return true;
        }

        private void Remember(CommandAck final)
        {
            if (!known.ContainsKey(final.CommandId))
            {
                oldestFirst.Enqueue(final.CommandId);
            }

            known[final.CommandId] = final;
            while (oldestFirst.Count > FileCommandRecord.Most)
            {
                known.Remove(oldestFirst.Dequeue());
            }
        }
    }
}
