// Writing of protobuf's wire format, from the last byte to the first.
using System;
using System.Text;

namespace Twin6G.Wire
{
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
