// What every message of the contract shares: its faults, its base, numbers as bits, growing lists. WireReader and
// WireWriter stand beside it; the messages themselves in BridgeV1.cs, which is generated.
//
// Plain C# 7.2 over byte arrays: no reflection, no unsafe code, no dependency, so it runs under mono, Unity's Mono and
// IL2CPP alike.
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace Twin6G.Wire
{
    /// <summary>What is wrong with bytes that are no message.</summary>
    public enum WireFault
    {
        /// <summary>The bytes end in the middle of a value.</summary>
        Truncated,

        /// <summary>A tag, number or length that cannot be.</summary>
        Malformed,

        /// <summary>Messages or groups within each other, deeper than the limit.</summary>
        TooDeep,

        /// <summary>More bytes than the limit.</summary>
        TooLarge,

        /// <summary>Text that is no UTF-8, or cannot be written as UTF-8.</summary>
        BadText,
    }

    /// <summary>The one exception that this codec throws for bad input.</summary>
    public sealed class WireException : Exception
    {
        /// <summary>Says what is wrong and where.</summary>
        public WireException(WireFault fault, string message)
            : base(message)
        {
            Fault = fault;
        }

        /// <summary>What is wrong.</summary>
        public WireFault Fault { get; private set; }
    }

    /// <summary>A message of the contract.</summary>
    public abstract class WireMessage
    {
        /// <summary>Reads fields until the present end; single values replace, lists grow, messages merge.</summary>
        public abstract void MergeFrom(WireReader reader);

        /// <summary>Puts this message in front of what the writer holds.</summary>
        public abstract void WriteTo(WireWriter writer);

        /// <summary>Returns this message as bytes: fields in the order of numbers, maps in that of keys.</summary>
        public byte[] ToBytes()
        {
            WireWriter writer = new WireWriter(256);
            WriteTo(writer);
            return writer.ToArray();
        }
    }

    /// <summary>Numbers as their bits; no allocation, no unsafe code.</summary>
    internal static class Bits
    {
        internal static readonly UTF8Encoding StrictUtf8 = new UTF8Encoding(false, true);

        static Bits()
        {
            if (!BitConverter.IsLittleEndian)
            {
                throw new PlatformNotSupportedException(
                    "Twin6G.Wire copies lists of numbers as they lie in memory and needs a little-endian machine.");
            }
        }

        internal static uint Of(float value)
        {
            Overlay overlay = default(Overlay);
            overlay.Number = value;
            return overlay.Bits;
        }

        internal static ulong Of(double value)
        {
            return unchecked((ulong)BitConverter.DoubleToInt64Bits(value));
        }

        internal static float ToFloat(uint bits)
        {
            Overlay overlay = default(Overlay);
            overlay.Bits = bits;
            return overlay.Number;
        }

        /// <summary>Returns the keys in the order of their UTF-8 bytes.</summary>
        internal static string[] SortedKeys(ICollection<string> keys)
        {
            string[] sorted = new string[keys.Count];
            keys.CopyTo(sorted, 0);
            Array.Sort(sorted, CompareAsUtf8);
            return sorted;
        }

        /// <summary>UTF-16 units sort like UTF-8 bytes except that surrogates stand above everything else.</summary>
        private static int CompareAsUtf8(string left, string right)
        {
            int shared = Math.Min(left.Length, right.Length);
            for (int i = 0; i < shared; i++)
            {
                if (left[i] != right[i])
                {
                    bool leftAbove = char.IsSurrogate(left[i]);
                    return leftAbove == char.IsSurrogate(right[i]) ? left[i] - right[i] : (leftAbove ? 1 : -1);
                }
            }

            return left.Length - right.Length;
        }

        [StructLayout(LayoutKind.Explicit)]
        private struct Overlay
        {
            [FieldOffset(0)]
            public float Number;

            [FieldOffset(0)]
            public uint Bits;
        }
    }

    /// <summary>A growing list of numbers that is given out as an array of exactly its length.</summary>
    internal struct Run<T>
        where T : struct
    {
        private static readonly T[] None = new T[0];
        private T[] items;
        private int count;

        internal int Count
        {
            get { return count; }
        }

        internal T[] Items
        {
            get
            {
                if (items == null)
                {
                    return None;
                }

                if (items.Length != count)
                {
                    Array.Resize(ref items, count);
                }

                return items;
            }

            set
            {
                items = value;
                count = value == null ? 0 : value.Length;
            }
        }

        internal void Add(T item)
        {
            Room(1)[count - 1] = item;
        }

        /// <summary>Makes the list longer and returns its array, whose last elements the caller fills. Lists that come
        /// in many pieces grow by doubling, so that hostile input costs linear time.</summary>
        internal T[] Room(int more)
        {
            int wanted = count + more;
            if (items == null || items.Length < wanted)
            {
                Array.Resize(ref items, count == 0 ? wanted : Math.Max(wanted, 2 * items.Length));
            }

            count = wanted;
            return items;
        }
    }
}
