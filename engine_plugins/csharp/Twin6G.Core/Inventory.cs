// The inventory as the scene knows it, put together from snapshots and deltas (rules B4, F3).
using System.Collections.Generic;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>What exists, by dense index and by id. Belongs to the engine's thread.</summary>
    public sealed class Inventory
    {
        private readonly SortedDictionary<uint, Entity> byIndex = new SortedDictionary<uint, Entity>();
        private readonly Dictionary<string, Entity> byId = new Dictionary<string, Entity>();
        private List<Entity> chunks = new List<Entity>();

        /// <summary>Revision of what stands here; 0 before the first snapshot.</summary>
        public ulong Revision { get; private set; }

        /// <summary>Revision since which every index has meant the same entity.</summary>
        public ulong IndexRevision { get; private set; }

        /// <summary>How many entities there are.</summary>
        public int Count
        {
            get { return byIndex.Count; }
        }

        /// <summary>All entities, in the order of their indices.</summary>
        public IEnumerable<Entity> Entities
        {
            get { return byIndex.Values; }
        }

        /// <summary>Finds an entity by its dense index.</summary>
        public bool TryGet(uint index, out Entity entity)
        {
            return byIndex.TryGetValue(index, out entity);
        }

        /// <summary>Finds an entity by its id.</summary>
        public bool TryGet(string id, out Entity entity)
        {
            return byId.TryGetValue(id, out entity);
        }

        /// <summary>Returns the entities of a kind, such as `ue`, in the order of their indices.</summary>
        public List<Entity> OfKind(string kind)
        {
            List<Entity> found = new List<Entity>();
            foreach (Entity entity in byIndex.Values)
            {
                if (entity.Kind == kind)
                {
                    found.Add(entity);
                }
            }

            return found;
        }

        /// <summary>Forgets a snapshot that was cut off in the middle.</summary>
        internal void Restart()
        {
            chunks = new List<Entity>();
        }

        /// <summary>Adds a chunk; true when the snapshot is complete and stands.</summary>
        internal bool Take(TopologySnapshot snapshot)
        {
            chunks.AddRange(snapshot.Entities);
            if (!snapshot.Last)
            {
                return false;
            }

            bool same = chunks.Count == byIndex.Count && chunks.TrueForAll(IsWhereItWas);
            byIndex.Clear();
            byId.Clear();
            foreach (Entity entity in chunks)
            {
                Put(entity);
            }

            Revision = snapshot.Revision;
            IndexRevision = same && IndexRevision > 0 ? IndexRevision : snapshot.Revision;
            chunks = new List<Entity>();
            return true;
        }

        /// <summary>Applies a delta; false when it builds on another revision than ours.</summary>
        internal bool Take(TopologyDelta delta)
        {
            if (delta.BaseRevision != Revision)
            {
                return false;
            }

            bool same = delta.Remove.Length == 0 && delta.Upsert.TrueForAll(IsWhereItWas);
            foreach (uint index in delta.Remove)
            {
                Remove(index);
            }

            foreach (Entity entity in delta.Upsert)
            {
                Remove(entity.Index);
                Put(entity);
            }

            Revision = delta.Revision;
            IndexRevision = same ? IndexRevision : delta.Revision;
            return true;
        }

        private bool IsWhereItWas(Entity entity)
        {
            Entity before;
            return byIndex.TryGetValue(entity.Index, out before) && before.Id == entity.Id;
        }

        private void Put(Entity entity)
        {
            byIndex[entity.Index] = entity;
            byId[entity.Id] = entity;
        }

        private void Remove(uint index)
        {
            Entity before;
            if (byIndex.TryGetValue(index, out before))
            {
                byIndex.Remove(index);
                byId.Remove(before.Id);
            }
        }
    }
}
