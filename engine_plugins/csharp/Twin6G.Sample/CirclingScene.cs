// The world of the sample: every UE walks around the place where it starts, cells count who is nearest.
using System;
using System.Collections.Generic;
using Twin6G.Core;
using Twin6G.Wire;

namespace Twin6G.Sample
{
    internal sealed class CirclingScene : TwinScene
    {
        private const double RadiusM = 10.0;
        private const double RadPerS = 0.5;
        private readonly bool countsUes;
        private readonly Dictionary<string, Dictionary<string, AttributeValue>> table =
            new Dictionary<string, Dictionary<string, AttributeValue>>();

        private List<Entity> ues = new List<Entity>();
        private List<Entity> cells = new List<Entity>();
        private float[] lastPositionM = new float[0];
        private double beginSimS = double.NaN;
        private double beginSteadyS;
        private double speed = 1.0;
        private double reportedToS;
        private ulong reports;

        internal CirclingScene(Provision[] provides)
        {
            countsUes = Array.IndexOf(provides, Provision.Kpi) >= 0;
        }

        internal TwinSession Session { private get; set; }

        internal int FiguresSeen { get; private set; }

        public override void StateChanged(SessionState state, string reason)
        {
            Say.Line("state").Add("state", state.ToString()).Add("reason", reason).Print();
        }

        public override void InventoryChanged(Inventory inventory)
        {
            ues = inventory.OfKind("ue");
            cells = inventory.OfKind("cell");
            foreach (Entity entity in inventory.Entities)
            {
                if (!table.ContainsKey(entity.Id)) // what was changed by command stays as it is
                {
                    table[entity.Id] = new Dictionary<string, AttributeValue>(entity.Attributes);
                }
            }

            Say.Line("inventory").Add("revision", inventory.Revision).Add("entities", inventory.Count).Print();
        }

        public override void Desired(IList<EntityAttribute> attributes)
        {
            foreach (EntityAttribute wanted in attributes)
            {
                if (table.ContainsKey(wanted.EntityId))
                {
                    table[wanted.EntityId][wanted.Attribute] = wanted.Value;
                }
            }

            Say.Line("desired").Add("attributes", attributes.Count).Print();
        }

        public override void Ready(Welcome welcome, bool resumed)
        {
            if (double.IsNaN(beginSimS))
            {
                beginSimS = Math.Ceiling(Clocks.FirstMomentS(welcome));
                beginSteadyS = Clocks.SteadyS;
                reportedToS = beginSimS;
                speed = welcome.Speed > 0.0 ? welcome.Speed : 1.0;
                Session.SimTimeS = beginSimS;
            }

            Say.Line("ready").Add("session", welcome.SessionId).Add("resumed", resumed ? 1 : 0)
                .Add("fencing_number", welcome.FencingNumber).Print();
            Session.Tell(new ConnectRequest { ObservedConfiguration = Observed() });
            if (!resumed)
            {
                Session.Tell(new ConnectRequest { LiveNotice = new LiveNotice { SimTimeS = Session.SimTimeS } });
            }
        }

        public override IList<EntityAttribute> Obey(Command command)
        {
            if (command.SetAttributes == null)
            {
                throw new CommandRejectedException("this scene only sets attributes, not " + command.Body);
            }

            List<EntityAttribute> observed = new List<EntityAttribute>();
            foreach (EntityAttribute action in command.SetAttributes.Actions)
            {
                observed.Add(Checked(action)); // all of them first: applied as a whole or not at all
            }

            if (!command.DryRun)
            {
                foreach (EntityAttribute action in observed)
                {
                    table[action.EntityId][action.Attribute] = action.Value;
                }
            }

            Say.Line("obeyed").Add("command", command.Id).Add("dry_run", command.DryRun ? 1 : 0)
                .Add("attributes", observed.Count).Print();
            return observed;
        }

        public override void FiguresArrived(Telemetry batch)
        {
            FiguresSeen++;
            float[] positions = Figures.PositionsM(batch);
            float[] values = Figures.Values(batch);
            Say line = Say.Line("figures").Add("entities", batch.EntityIndex.Length)
                .Add("kpis", string.Join(",", batch.Kpis.ToArray()));
            if (positions.Length > 0)
            {
                line.Add("east_m", positions[0]).Add("north_m", positions[1]).Add("up_m", positions[2]);
            }

            if (values.Length > 0)
            {
                line.Add("value", values[0]);
            }

            line.Print();
        }

        public override CameraFrame TakePicture(CameraRequest request)
        {
            List<float[]> towers = cells.ConvertAll(cell => At(cell.Position ?? new Position()));
            List<float[]> phones = new List<float[]>();
            for (int i = 0; i + 2 < lastPositionM.Length; i += 3)
            {
                phones.Add(new[] { lastPositionM[i], lastPositionM[i + 1], lastPositionM[i + 2] });
            }

            return PlanView.Take(request, towers, phones, Session.SimTimeS);
        }

        public override void Heard(ConnectResponse message)
        {
            Say.Line("heard").Add("body", message.Body.ToString()).Print();
        }

        /// <summary>Moves everything to where it is now and tells the twin.</summary>
        internal void Move()
        {
            double nowS = beginSimS + ((Clocks.SteadyS - beginSteadyS) * speed);
            Session.SimTimeS = nowS;
            uint[] index = new uint[ues.Count];
            float[] positionM = new float[3 * ues.Count];
            for (int i = 0; i < ues.Count; i++)
            {
                Position home = ues[i].Position ?? new Position();
                double angle = (RadPerS * nowS) + ues[i].Index;
                index[i] = ues[i].Index;
                positionM[3 * i] = (float)(home.EastM + (RadiusM * Math.Cos(angle)));
                positionM[(3 * i) + 1] = (float)(home.NorthM + (RadiusM * Math.Sin(angle)));
                positionM[(3 * i) + 2] = home.UpM;
            }

            lastPositionM = positionM;
            Telemetry batch = new Telemetry { SimTimeS = nowS, EntityIndex = index, PositionM = positionM };
            batch.Keyframe = true;
            Session.SendTelemetry(batch);
            while (countsUes && nowS >= reportedToS + 1.0)
            {
                reportedToS += 1.0;
                Report(positionM);
            }
        }

        private static float[] At(Position position)
        {
            return new[] { position.EastM, position.NorthM, position.UpM };
        }

        /// <summary>Counts for each cell the UEs of which it is the nearest, lossless.</summary>
        private void Report(float[] positionM)
        {
            float[] counts = new float[cells.Count];
            for (int ue = 0; ue < ues.Count && cells.Count > 0; ue++)
            {
                int nearest = 0;
                double shortest = double.PositiveInfinity;
                for (int cell = 0; cell < cells.Count; cell++)
                {
                    Position at = cells[cell].Position ?? new Position();
                    double east = positionM[3 * ue] - at.EastM;
                    double north = positionM[(3 * ue) + 1] - at.NorthM;
                    double distance = (east * east) + (north * north);
                    if (distance < shortest)
                    {
                        shortest = distance;
                        nearest = cell;
                    }
                }

                counts[nearest] += 1f;
            }

            PmReport report = new PmReport { Epoch = 1, Number = ++reports, Revision = Session.Inventory.Revision };
            report.GranularityPeriodS = 1;
            report.PeriodEndSimTimeS = reportedToS;
            report.EntityIndex = cells.ConvertAll(cell => cell.Index).ToArray();
            report.Counters.Add("RRC.ConnMean");
            report.Values = counts;
            Session.Tell(new ConnectRequest { PmReport = report });
        }

        /// <summary>Returns the action if the entity has such an attribute of the same sort.</summary>
        private EntityAttribute Checked(EntityAttribute action)
        {
            Dictionary<string, AttributeValue> attributes;
            AttributeValue present;
            if (!table.TryGetValue(action.EntityId, out attributes)
                || !attributes.TryGetValue(action.Attribute, out present))
            {
                throw new CommandRejectedException("`" + action.EntityId + "` has no `" + action.Attribute + "` here");
            }

            bool fits = action.Value != null && action.Value.Value == present.Value
                && !double.IsNaN(action.Value.Number) && !double.IsInfinity(action.Value.Number);
            if (!fits)
            {
                throw new CommandRejectedException("`" + action.Attribute + "` cannot have this value");
            }

            return action;
        }

        private ObservedConfiguration Observed()
        {
            ObservedConfiguration observed = new ObservedConfiguration { SimTimeS = Session.SimTimeS };
            foreach (KeyValuePair<string, Dictionary<string, AttributeValue>> entity in table)
            {
                foreach (KeyValuePair<string, AttributeValue> one in entity.Value)
                {
                    EntityAttribute row = new EntityAttribute { EntityId = entity.Key, Attribute = one.Key };
                    row.Value = one.Value;
                    observed.Attributes.Add(row);
                }
            }

            return observed;
        }
    }
}
