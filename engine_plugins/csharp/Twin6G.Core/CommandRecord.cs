// Answers to commands on the disk, so that a scene that was killed knows them when it comes back (rule C6).
using System;
using System.Collections.Generic;
using System.IO;
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>Keeps final answers to commands.</summary>
    public interface ICommandRecord
    {
        /// <summary>Returns the kept answers, oldest first.</summary>
        IList<CommandAck> Load();

        /// <summary>Keeps an answer; durable when this returns. Throws IOException when it is not.</summary>
        void Keep(CommandAck answer);
    }

    /// <summary>Keeps answers in memory: for scenes whose world is gone with the program anyway.</summary>
    public sealed class MemoryCommandRecord : ICommandRecord
    {
        public IList<CommandAck> Load()
        {
            return new List<CommandAck>();
        }

        public void Keep(CommandAck answer)
        {
        }
    }

    /// <summary>Keeps answers in a file of one process at a time.
    ///
    /// The file is a line of magic, then records: length and CRC-32 of the bytes, then a serialized CommandAck. Each
    /// record is on the disk before the next begins, so a kill can only damage the last one, which was never answered
    /// for and is cut off when the file is opened.</summary>
    public sealed class FileCommandRecord : ICommandRecord, IDisposable
    {
        /// <summary>Answers that are kept.</summary>
        public const int Most = 4096;

        private const int HeadBytes = 8;
        private static readonly byte[] Magic = System.Text.Encoding.ASCII.GetBytes("twin6g.commands/1\n");
        private readonly string path;
        private readonly List<CommandAck> loaded = new List<CommandAck>();
        private FileStream file;

        /// <summary>Opens or makes the file. Throws IOException when another process has it, or it is something
        /// else.</summary>
        public FileCommandRecord(string path)
        {
            this.path = path;
            file = Open(path);
            try
            {
                Read();
                if (loaded.Count > 2 * Most)
                {
                    Shorten();
                }
            }
            catch
            {
                file.Dispose();
                throw;
            }
        }

        public IList<CommandAck> Load()
        {
            return loaded;
        }

        public void Keep(CommandAck answer)
        {
            long begin = file.Position;
            try
            {
                Write(file, answer);
                file.Flush(true);
            }
            catch (IOException)
            {
                file.Position = begin; // whatever lies there is overwritten by the next attempt
                throw;
            }
        }

        public void Dispose()
        {
            file.Dispose();
        }

        private static FileStream Open(string path)
        {
            string folder = Path.GetDirectoryName(Path.GetFullPath(path));
            Directory.CreateDirectory(folder);
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }

        private static void Write(Stream to, CommandAck answer)
        {
            byte[] body = answer.ToBytes();
            byte[] record = new byte[HeadBytes + body.Length];
            PutUInt32(record, 0, (uint)body.Length);
            PutUInt32(record, 4, Crc32.Of(body, 0, body.Length));
            Buffer.BlockCopy(body, 0, record, HeadBytes, body.Length);
            to.Write(record, 0, record.Length);
        }

        private static void PutUInt32(byte[] into, int at, uint value)
        {
            for (int i = 0; i < 4; i++)
            {
                into[at + i] = (byte)(value >> (8 * i));
            }
        }

        private void Read()
        {
            byte[] bytes = new byte[file.Length];
            int count = 0;
            for (int got = -1; got != 0 && count < bytes.Length; count += got)
            {
                got = file.Read(bytes, count, bytes.Length - count);
            }

            int at = Math.Min(Magic.Length, count);
            for (int i = 0; i < at; i++)
            {
                if (bytes[i] != Magic[i])
                {
                    throw new IOException(path + " is no record of commands; name another file.");
                }
            }

            if (at < Magic.Length)
            {
                file.Position = 0;
                file.Write(Magic, 0, Magic.Length);
                at = Magic.Length;
            }

            while (count - at >= HeadBytes)
            {
                uint length = BitConverter.ToUInt32(bytes, at);
                if (length > count - at - HeadBytes
                    || Crc32.Of(bytes, at + HeadBytes, (int)length) != BitConverter.ToUInt32(bytes, at + 4))
                {
                    break;
                }

                loaded.Add(CommandAck.Parse(new WireReader(bytes, at + HeadBytes, (int)length)));
                at += HeadBytes + (int)length;
            }

            file.SetLength(at);
            file.Position = at;
            file.Flush(true);
        }

        private void Shorten()
        {
            loaded.RemoveRange(0, loaded.Count - Most);
            string part = path + ".part";
            using (FileStream shorter = new FileStream(part, FileMode.Create, FileAccess.Write))
            {
                shorter.Write(Magic, 0, Magic.Length);
                foreach (CommandAck answer in loaded)
                {
                    Write(shorter, answer);
                }

                shorter.Flush(true);
            }

            file.Dispose();
            File.Replace(part, path, null);
            file = Open(path);
            file.Position = file.Length;
        }
    }

    /// <summary>CRC-32 as in ISO 3309.</summary>
    internal static class Crc32
    {
        private static readonly uint[] Table = MakeTable();

        internal static uint Of(byte[] bytes, int offset, int count)
        {
            uint crc = 0xFFFFFFFF;
            for (int i = offset; i < offset + count; i++)
            {
                crc = Table[(crc ^ bytes[i]) & 0xFF] ^ (crc >> 8);
            }

            return ~crc;
        }

        private static uint[] MakeTable()
        {
            uint[] table = new uint[256];
            for (uint i = 0; i < 256; i++)
            {
                uint crc = i;
                for (int bit = 0; bit < 8; bit++)
                {
                    crc = (crc & 1) != 0 ? 0xEDB88320 ^ (crc >> 1) : crc >> 1;
                }

                table[i] = crc;
            }

            return table;
        }
    }
}
