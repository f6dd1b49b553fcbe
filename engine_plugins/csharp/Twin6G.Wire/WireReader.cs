// Reading of protobuf's wire format from a byte array.
using System;
using System.Text;

namespace Twin6G.Wire
{
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

        /// <summary>How many fields of the outermost message were stepped over as unknown.</summary>
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
}
