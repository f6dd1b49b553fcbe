// Reads orders from standard input, one a line, and answers each with one line; the Python test asks and judges.
//
//   frame MESSAGE HEX      -> ok HEX (decoded and encoded again) | fault NAME
//   build NAME             -> ok HEX (made from nothing)
//   point|rotation|back_point|back_rotation AXES NUMBERS...  -> ok NUMBERS...
//   yaw DEG | azimuth DEG | view AZIMUTH DOWNTILT            -> ok NUMBERS...
using System;
using System.Globalization;
using System.IO;
using System.Text;
using Twin6G.Core;
using Twin6G.Wire;

public static class Driver
{
    public static int Main()
    {
        TextReader input = new StreamReader(Console.OpenStandardInput());
        TextWriter output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false));
        string line;
        while ((line = input.ReadLine()) != null)
        {
            string[] words = line.Split(' ');
            try
            {
                output.WriteLine("ok " + Answer(words));
            }
            catch (WireException fault)
            {
                output.WriteLine("fault " + fault.Fault);
            }
        }

        output.Flush();
        return 0;
    }

    private static string Answer(string[] words)
    {
        switch (words[0])
        {
            case "frame":
                return Again(words[1], FromHex(words[2]));
            case "build":
                return ToHex(Build(words[1]).ToBytes());
            case "point":
                return Say(Frames.ToEngine(ReadVector(words), ReadAxes(words)));
            case "back_point":
                return Say(Frames.ToEnu(ReadVector(words), ReadAxes(words)));
            case "rotation":
                return Say(Frames.ToEngine(ReadRotation(words), ReadAxes(words)));
            case "back_rotation":
                return Say(Frames.ToEnu(ReadRotation(words), ReadAxes(words)));
            case "yaw":
                return Say(Frames.AzimuthToYawDeg(Number(words[1])));
            case "azimuth":
                return Say(Frames.YawToAzimuthDeg(Number(words[1])));
            case "view":
                Rotation view = Frames.View(Number(words[1]), Number(words[2]));
                return Say(view) + " " + Say(view.Turn(new Vector(1, 0, 0)));
            default:
                throw new ArgumentException(words[0]);
        }
    }

    private static string Again(string message, byte[] data)
    {
        switch (message)
        {
            case "ConnectRequest":
                return ToHex(ConnectRequest.Parse(data).ToBytes());
            case "ConnectResponse":
                return ToHex(ConnectResponse.Parse(data).ToBytes());
            case "GetTopologyRequest":
                return ToHex(GetTopologyRequest.Parse(data).ToBytes());
            case "GetTopologyResponse":
                return ToHex(GetTopologyResponse.Parse(data).ToBytes());
            case "SubmitCommandRequest":
                return ToHex(SubmitCommandRequest.Parse(data).ToBytes());
            case "SubmitCommandResponse":
                return ToHex(SubmitCommandResponse.Parse(data).ToBytes());
            case "GetHealthRequest":
                return ToHex(GetHealthRequest.Parse(data).ToBytes());
            case "GetHealthResponse":
                return ToHex(GetHealthResponse.Parse(data).ToBytes());
            default:
                throw new ArgumentException(message);
        }
    }

    private static WireMessage Build(string name)
    {
        switch (name)
        {
            case "life.hello":
                Hello hello = new Hello();
                hello.ProtocolMin = 1;
                hello.ProtocolMax = 1;
                hello.Role = Role.Scene;
                hello.SceneId = "plaza";
                hello.Provides = new[] { Provision.Motion, Provision.Kpi };
                hello.Engine = "unity";
                hello.Frame = Frame.Unity;
                hello.Capabilities = new Capabilities { MaxEntities = 5000 };
                hello.Capabilities.CameraCodecs.Add("jpeg");
                hello.Resume = new ResumePoint { SessionId = "s-1", ResumeToken = "secret", LastSeq = 1UL << 40 };
                return new ConnectRequest { Hello = hello };
            case "life.telemetry":
                Telemetry telemetry = new Telemetry();
                telemetry.Number = 3;
                telemetry.Revision = 2;
                telemetry.SimTimeS = 30.5;
                telemetry.EntityIndex = new uint[] { 4, 5 };
                telemetry.PositionM = new[] { 1.5f, -2.25f, 0f, 100.125f, 7f, BitConverter.ToSingle(new byte[] { 0, 0, 0, 0x80 }, 0) };
                telemetry.Kpis.Add("L1M.SS-RSRP");
                telemetry.Values = new[] { -84.5f, BitConverter.ToSingle(new byte[] { 0, 0, 0xC0, 0x7F }, 0) };
                telemetry.Keyframe = true;
                ConnectRequest request = new ConnectRequest { Telemetry = telemetry };
                request.WallTimeUnixNs = 1795000000000000000;
                request.SimTimeS = 30.5;
                return request;
            case "life.voice":
                byte[] pcm = new byte[17000];
                for (int i = 0; i < pcm.Length; i++)
                {
                    pcm[i] = (byte)(i % 251);
                }

                VoiceChunk voice = new VoiceChunk { UtteranceId = "u-1", SampleRateHz = 16000, PcmInt16 = pcm, Number = 1 };
                return new ConnectRequest { VoiceChunk = voice };
            case "life.applied":
                CommandAck ack = new CommandAck();
                ack.CommandId = "0198c0de-0000-7000-8000-000000000001";
                ack.Stage = CommandStage.Applied;
                ack.SimTimeS = 31;
                ack.Observed.Add(Attribute("digitalTilt", new AttributeValue { Number = 60 }));
                ack.Observed.Add(Attribute("administrativeState", new AttributeValue { Text = "UNLOCKED" }));
                ack.Observed.Add(Attribute("cellIndividualOffset", null));
                return new ConnectRequest { Seq = 9, Ack = 4, CommandAck = ack };
            case "life.topology":
                Entity entity = new Entity { Index = 4, Id = "ue-4", Kind = "ue" };
                entity.Position = new Position { EastM = 1.5f, NorthM = -2.25f };
                entity.Attributes["b"] = new AttributeValue { Number = BitConverter.Int64BitsToDouble(long.MinValue) };
                entity.Attributes["a"] = new AttributeValue();
                TopologySnapshot snapshot = new TopologySnapshot { Revision = 2, Total = 1, Last = true };
                snapshot.Entities.Add(entity);
                return new ConnectResponse { Seq = 1, TopologySnapshot = snapshot };
            default:
                throw new ArgumentException(name);
        }
    }

    private static EntityAttribute Attribute(string name, AttributeValue value)
    {
        return new EntityAttribute { EntityId = "cell-7-2", Attribute = name, Value = value };
    }

    private static double Number(string word)
    {
        return double.Parse(word, CultureInfo.InvariantCulture);
    }

    private static Axes ReadAxes(string[] words)
    {
        return (Axes)Enum.Parse(typeof(Axes), words[1], true);
    }

    private static Vector ReadVector(string[] words)
    {
        return new Vector(Number(words[2]), Number(words[3]), Number(words[4]));
    }

    private static Rotation ReadRotation(string[] words)
    {
        return new Rotation(Number(words[2]), Number(words[3]), Number(words[4]), Number(words[5]));
    }

    private static string Say(Vector v)
    {
        return Say(v.X) + " " + Say(v.Y) + " " + Say(v.Z);
    }

    private static string Say(Rotation r)
    {
        return Say(r.X) + " " + Say(r.Y) + " " + Say(r.Z) + " " + Say(r.W);
    }

    private static string Say(double number)
    {
        return number.ToString("R", CultureInfo.InvariantCulture);
    }

    private static byte[] FromHex(string hex)
    {
        byte[] bytes = new byte[hex.Length / 2];
        for (int i = 0; i < bytes.Length; i++)
        {
            bytes[i] = (byte)(Nibble(hex[2 * i]) << 4 | Nibble(hex[(2 * i) + 1]));
        }

        return bytes;
    }

    private static int Nibble(char digit)
    {
        return digit <= '9' ? digit - '0' : digit - 'a' + 10;
    }

    private static string ToHex(byte[] bytes)
    {
        char[] digits = new char[2 * bytes.Length];
        for (int i = 0; i < bytes.Length; i++)
        {
            digits[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
            digits[(2 * i) + 1] = "0123456789abcdef"[bytes[i] & 15];
        }

        return new string(digits);
    }
}
