// The part of the codec that is the same for every message: reading and writing of protobuf's wire format.
//
// Plain C# 7.2 over byte arrays: no reflection, no unsafe code, no dependency, so it runs under mono, Unity's Mono and
// IL2CPP alike. The messages themselves stand in BridgeV1.cs, which is generated.
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

    /// <summary>Reads one serialized message; every fault is a <see cref="WireException"/>.</summary>
    public sealed class WireReader
    {
        /// <summary>Most bytes of one message, unless told otherwise.</summary>
        public const int DefaultMaxBytes = 64 * 1024 * 1024;

        /// <summary>Messages and groups may stand this deep within each other, as in Python.</summary>
        public const int MaxDepth = 100;

        private readonly byte[] data;
        private int position;
        private int end;
        private int depth;

        /// <summary>Reads `count` bytes from `offset`.</summary>
        public WireReader(byte[] data, int offset, int count, int maxBytes = DefaultMaxBytes)
        {
            if (data == null)
            {
                throw new ArgumentNullException("data");
            }

            if (offset < 0 || count < 0 || count > data.Length - offset)
            {
                throw new ArgumentOutOfRangeException("count", "The bytes to read do not lie within the array.");
            }

            if (count > maxBytes)
            {
                throw new WireException(
                    WireFault.TooLarge, "A message of " + count + " bytes is longer than the limit, " + maxBytes + ".");
            }

            this.data = data;
            position = offset;
            end = offset + count;
        }

        /// <summary>How many fields of the outermost message were stepped over because nobody here knows them.</summary>
        public int UnknownFields { get; private set; }

        /// <summary>Reads the next tag; false at the end of the present message.</summary>
        public bool ReadTag(out uint tag)
        {
            tag = 0;
            if (position == end)
            {
                return false;
            }

            tag = ReadVarint32("tag");
            if (tag >> 3 == 0)
            {
                throw Malformed("field number 0");
            }

            return true;
        }

        /// <summary>Reads a varint of up to 64 bits; bits beyond are dropped, as everywhere.</summary>
        public ulong ReadUInt64()
        {
            ulong value = 0;
            for (int shift = 0; shift < 70; shift += 7)
            {
                if (position == end)
                {
                    throw Truncated();
                }

                byte next = data[position++];
                value |= (ulong)(next & 0x7F) << shift;
                if (next < 0x80)
                {
                    return value;
                }
            }

            throw Malformed("a varint of more than 10 bytes");
        }

        /// <summary>Reads a varint and keeps its lower 32 bits.</summary>
        public uint ReadUInt32()
        {
            return unchecked((uint)ReadUInt64());
        }

        /// <summary>Reads the number of an enumeration's member; unknown ones travel through.</summary>
        public int ReadEnum()
        {
            return unchecked((int)ReadUInt64());
        }

        /// <summary>Reads a truth value.</summary>
        public bool ReadBool()
        {
            return ReadUInt64() != 0;
        }

        /// <summary>Reads four bytes.</summary>
        public uint ReadFixed32()
        {
            int at = Take(4);
            return (uint)(data[at] | data[at + 1] << 8 | data[at + 2] << 16 | data[at + 3] << 24);
        }

        /// <summary>Reads eight bytes.</summary>
        public ulong ReadFixed64()
        {
            ulong low = ReadFixed32();
            return low | (ulong)ReadFixed32() << 32;
        }

        /// <summary>Reads a 32-bit number.</summary>
        public float ReadFloat()
        {
            return Bits.ToFloat(ReadFixed32());
        }

        /// <summary>Reads a 64-bit number.</summary>
        public double ReadDouble()
        {
            return BitConverter.Int64BitsToDouble(unchecked((long)ReadFixed64()));
        }

        /// <summary>Reads text.</summary>
        public string ReadString()
        {
            int count = ReadLength();
            int at = Take(count);
            try
            {
                return Bits.StrictUtf8.GetString(data, at, count);
            }
            catch (DecoderFallbackException)
            {
                throw new WireException(WireFault.BadText, "The text at byte " + at + " is no UTF-8.");
            }
        }

        /// <summary>Reads bytes into an array of their own.</summary>
        public byte[] ReadBytes()
        {
            int count = ReadLength();
            int at = Take(count);
            byte[] copy = new byte[count];
            Buffer.BlockCopy(data, at, copy, 0, count);
            return copy;
        }

        /// <summary>Reads a message within the present one.</summary>
        public void ReadMessage(WireMessage message)
        {
            int outerEnd = Enter();
            message.MergeFrom(this);
            Leave(outerEnd);
        }

        /// <summary>Steps over a field that the caller does not know.</summary>
        public void Skip(uint tag)
        {
            UnknownFields += depth == 0 ? 1 : 0;
            switch (tag & 7)
            {
                case 0:
                    ReadUInt64();
                    break;
                case 1:
                    Take(8);
                    break;
                case 2:
                    Take(ReadLength());
                    break;
                case 3:
                    SkipGroup(tag >> 3);
                    break;
                case 5:
                    Take(4);
                    break;
                default:
                    throw Malformed("wire type " + (tag & 7));
            }
        }

        /// <summary>Makes what the next length covers the present message; returns the end to come back to.</summary>
        internal int Enter()
        {
            int count = ReadLength();
            Deepen();
            if (count > end - position)
            {
                throw Truncated();
            }

            int outerEnd = end;
            end = position + count;
            return outerEnd;
        }

        internal void Leave(int outerEnd)
        {
            end = outerEnd;
            depth--;
        }

        /// <summary>Reads the length of a run of varints; the caller reads until <see cref="AtEnd"/>.</summary>
        internal int EnterRun()
        {
            int count = ReadLength();
            if (count > end - position)
            {
                throw Truncated();
            }

            int outerEnd = end;
            end = position + count;
            return outerEnd;
        }

        internal void LeaveRun(int outerEnd)
        {
            end = outerEnd;
        }

        internal bool AtEnd
        {
            get { return position == end; }
        }

        internal void ReadFloats(ref Run<float> run)
        {
            int bytes = RunBytes();
            int before = run.Count;
            Buffer.BlockCopy(data, Take(bytes), run.Room(bytes / 4), 4 * before, bytes);
        }

        internal void ReadFixed32s(ref Run<uint> run)
        {
            int bytes = RunBytes();
            int before = run.Count;
            Buffer.BlockCopy(data, Take(bytes), run.Room(bytes / 4), 4 * before, bytes);
        }

        private int RunBytes()
        {
            int bytes = ReadLength();
            if (bytes > end - position)
            {
                throw Truncated();
            }

            if (bytes % 4 != 0)
            {
                throw Malformed("a list of four-byte numbers in " + bytes + " bytes");
            }

            return bytes;
        }

        private void SkipGroup(uint number)
        {
            Deepen();
            while (position != end)
            {
                uint tag = ReadVarint32("tag"); // Python lets field number 0 pass in here
                if ((tag & 7) == 4)
                {
                    if (tag >> 3 != number)
                    {
                        throw Malformed("the end of another group");
                    }

                    depth--;
                    return;
                }

                Skip(tag);
            }

            throw Truncated();
        }

        private void Deepen()
        {
            if (++depth > MaxDepth)
            {
                throw new WireException(WireFault.TooDeep, "Messages lie deeper than " + MaxDepth + " in each other.");
            }
        }

        private int ReadLength()
        {
            uint length = ReadVarint32("length");
            if (length > int.MaxValue)
            {
                throw Malformed("a length of " + length);
            }

            return (int)length;
        }

        /// <summary>Reads a number of at most 32 bits in at most five bytes, as tags and lengths are.</summary>
        private uint ReadVarint32(string what)
        {
            ulong value = 0;
            for (int shift = 0; shift < 35; shift += 7)
            {
                if (position == end)
                {
                    throw Truncated();
                }

                byte next = data[position++];
                value |= (ulong)(next & 0x7F) << shift;
                if (next < 0x80)
                {
                    if (value > uint.MaxValue)
                    {
                        throw Malformed("a " + what + " of more than 32 bits");
                    }

                    return (uint)value;
                }
            }

            throw Malformed("a " + what + " of more than 5 bytes");
        }

        private int Take(int count)
        {
            if (count > end - position)
            {
                throw Truncated();
            }

            int at = position;
            position += count;
            return at;
        }

        private WireException Truncated()
        {
            return new WireException(WireFault.Truncated, "The message ends within a value at byte " + position + ".");
        }

        private WireException Malformed(string what)
        {
            return new WireException(WireFault.Malformed, "Before byte " + position + ": " + what + ".");
        }
    }

    /// <summary>Writes one message from its end to its beginning, so that every length is known when it is written.
    /// Keep one per thread and call <see cref="Clear"/> between messages: then nothing is allocated.</summary>
    public sealed class WireWriter
    {
        private byte[] buffer;
        private int start;

        /// <summary>Begins with room for so many bytes; it grows by itself.</summary>
        public WireWriter(int capacity)
        {
            buffer = new byte[Math.Max(16, capacity)];
            start = buffer.Length;
        }

        /// <summary>Number of bytes written.</summary>
        public int Length
        {
            get { return buffer.Length - start; }
        }

        /// <summary>The bytes written, valid until the next write.</summary>
        public ArraySegment<byte> Written
        {
            get { return new ArraySegment<byte>(buffer, start, Length); }
        }

        /// <summary>Forgets what was written and keeps the room.</summary>
        public void Clear()
        {
            start = buffer.Length;
        }

        /// <summary>Returns a copy of the bytes written.</summary>
        public byte[] ToArray()
        {
            byte[] copy = new byte[Length];
            Buffer.BlockCopy(buffer, start, copy, 0, copy.Length);
            return copy;
        }

        /// <summary>Puts bytes that are fields already in front of what was written.</summary>
        public void Fields(byte[] serialized)
        {
            int at = Room(serialized.Length);
            Buffer.BlockCopy(serialized, 0, buffer, at, serialized.Length);
        }

        internal void Varint(uint tag, ulong value)
        {
            RawVarint(value);
            RawVarint(tag);
        }

        /// <summary>Negative numbers of an enumeration take ten bytes, as everywhere.</summary>
        internal void Enum(uint tag, int value)
        {
            Varint(tag, unchecked((ulong)value));
        }

        internal void Bool(uint tag, bool value)
        {
            Varint(tag, value ? 1UL : 0UL);
        }

        internal void Fixed32(uint tag, uint value)
        {
            RawFixed32(value);
            RawVarint(tag);
        }

        internal void Fixed64(uint tag, ulong value)
        {
            RawFixed32((uint)(value >> 32));
            RawFixed32(unchecked((uint)value));
            RawVarint(tag);
        }

        internal void Float(uint tag, float value)
        {
            Fixed32(tag, Bits.Of(value));
        }

        internal void Double(uint tag, double value)
        {
            Fixed64(tag, Bits.Of(value));
        }

        internal void String(uint tag, string value)
        {
            int count;
            try
            {
                count = Bits.StrictUtf8.GetByteCount(value);
            }
            catch (EncoderFallbackException)
            {
                throw new WireException(WireFault.BadText, "A text with half a surrogate pair cannot be written.");
            }

            int at = Room(count);
            Bits.StrictUtf8.GetBytes(value, 0, value.Length, buffer, at);
            Close(tag, count);
        }

        internal void Bytes(uint tag, byte[] value)
        {
            int at = Room(value.Length);
            Buffer.BlockCopy(value, 0, buffer, at, value.Length);
            Close(tag, value.Length);
        }

        internal void Floats(uint tag, float[] values)
        {
            int count = checked(4 * values.Length);
            int at = Room(count);
            Buffer.BlockCopy(values, 0, buffer, at, count);
            Close(tag, count);
        }

        internal void Fixed32s(uint tag, uint[] values)
        {
            int count = checked(4 * values.Length);
            int at = Room(count);
            Buffer.BlockCopy(values, 0, buffer, at, count);
            Close(tag, count);
        }

        internal void Message(uint tag, WireMessage value)
        {
            int before = Length;
            value.WriteTo(this);
            Close(tag, Length - before);
        }

        /// <summary>Puts tag and length in front of the last `count` bytes.</summary>
        internal void Close(uint tag, int count)
        {
            RawVarint((ulong)count);
            RawVarint(tag);
        }

        /// <summary>One element of a run of varints.</summary>
        internal void RawVarint(ulong value)
        {
            int count = 1;
            for (ulong rest = value >> 7; rest != 0; rest >>= 7)
            {
                count++;
            }

            int at = Room(count);
            while (value >= 0x80)
            {
                buffer[at++] = unchecked((byte)(value | 0x80));
                value >>= 7;
            }

            buffer[at] = (byte)value;
        }

        private void RawFixed32(uint value)
        {
            int at = Room(4);
            buffer[at] = unchecked((byte)value);
            buffer[at + 1] = unchecked((byte)(value >> 8));
            buffer[at + 2] = unchecked((byte)(value >> 16));
            buffer[at + 3] = unchecked((byte)(value >> 24));
        }

        /// <summary>Makes room in front and returns where it begins; call it before naming the buffer.</summary>
        private int Room(int count)
        {
            if (count > start)
            {
                Grow(count);
            }

            start -= count;
            return start;
        }

        private void Grow(int count)
        {
            int length = Length;
            int doubled = buffer.Length > int.MaxValue / 2 ? int.MaxValue : 2 * buffer.Length;
            int size = Math.Max(checked(length + count), doubled);
            byte[] larger = new byte[size];
            Buffer.BlockCopy(buffer, start, larger, size - length, length);
            buffer = larger;
            start = size - length;
        }
    }
}
