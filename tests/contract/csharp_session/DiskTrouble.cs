// A scene whose disk refuses the record of its first command three times; prints a line for each attempt.
using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using Twin6G.Core;
using Twin6G.Wire;

public static class DiskTrouble
{
    public static void Main(string[] arguments)
    {
        SessionOptions options = new SessionOptions { Address = new Uri(arguments[1]), Record = new SlowDisk() };
        using (TwinSession session = new TwinSession(options, new Obedient(), new WebSocketTransport()))
        {
            session.Start();
            while (session.State != SessionState.Ended)
            {
                session.Pump(TimeSpan.FromMilliseconds(5));
                Thread.Sleep(20);
            }
        }
    }

    private static void Print(string what)
    {
        Console.Out.WriteLine("{\"what\":\"" + what + "\"}");
        Console.Out.Flush();
    }

    private sealed class Obedient : TwinScene
    {
        public override IList<EntityAttribute> Obey(Command command)
        {
            Print("obeyed");
            return new EntityAttribute[0];
        }
    }

    private sealed class SlowDisk : ICommandRecord
    {
        private int attempts;

        public IList<CommandAck> Load()
        {
            return new CommandAck[0];
        }

        public void Keep(CommandAck answer)
        {
            if (++attempts <= 3)
            {
                Print("refused");
                throw new IOException("no space left");
            }

            Print("kept");
        }
    }
}
