// Coordinates: the wire speaks ENU metres; engines have axes, handedness and units of their own.
//
// The formulas are those of twin/geo.py and are held to proto/golden/coordinates.json by the same test. Numbers are
// double here; an engine narrows them to float when it moves its objects.
using System;

namespace Twin6G.Core
{
    /// <summary>Axes of an engine. Unity and Unreal are left-handed, the others right-handed.</summary>
    public enum Axes
    {
        /// <summary>East, north, up; metres.</summary>
        Enu,

        /// <summary>(E, U, N) metres.</summary>
        Unity,

        /// <summary>100 (E, -N, U) centimetres.</summary>
        Unreal,

        /// <summary>glTF, three.js and Godot: (E, U, -N) metres.</summary>
        Gltf,
    }

    /// <summary>A point or direction.</summary>
    public struct Vector
    {
        public double X;
        public double Y;
        public double Z;

        public Vector(double x, double y, double z)
        {
            X = x;
            Y = y;
            Z = z;
        }
    }

    /// <summary>A rotation as a quaternion x, y, z, w.</summary>
    public struct Rotation
    {
        public double X;
        public double Y;
        public double Z;
        public double W;

        public Rotation(double x, double y, double z, double w)
        {
            X = x;
            Y = y;
            Z = z;
            W = w;
        }

        /// <summary>Returns the direction turned by this rotation.</summary>
        public Vector Turn(Vector v)
        {
            double tx = 2.0 * ((Y * v.Z) - (Z * v.Y));
            double ty = 2.0 * ((Z * v.X) - (X * v.Z));
            double tz = 2.0 * ((X * v.Y) - (Y * v.X));
            return new Vector(
                v.X + (W * tx) + (Y * tz) - (Z * ty),
                v.Y + (W * ty) + (Z * tx) - (X * tz),
                v.Z + (W * tz) + (X * ty) - (Y * tx));
        }
    }

    /// <summary>Conversions between ENU and the axes of engines, and between azimuths and yaws.</summary>
    public static class Frames
    {
        /// <summary>Returns a point in ENU metres in an engine's axes and unit.</summary>
        public static Vector ToEngine(Vector enu, Axes axes)
        {
            switch (axes)
            {
                case Axes.Unity:
                    return new Vector(enu.X, enu.Z, enu.Y);
                case Axes.Unreal:
                    return new Vector(100.0 * enu.X, -100.0 * enu.Y, 100.0 * enu.Z);
                case Axes.Gltf:
                    return new Vector(enu.X, enu.Z, -enu.Y);
                default:
                    return enu;
            }
        }

        /// <summary>Returns a point in an engine's axes and unit in ENU metres.</summary>
        public static Vector ToEnu(Vector engine, Axes axes)
        {
            switch (axes)
            {
                case Axes.Unity:
                    return new Vector(engine.X, engine.Z, engine.Y);
                case Axes.Unreal:
                    return new Vector(engine.X / 100.0, -engine.Y / 100.0, engine.Z / 100.0);
                case Axes.Gltf:
                    return new Vector(engine.X, -engine.Z, engine.Y);
                default:
                    return engine;
            }
        }

        /// <summary>Returns a rotation of the ENU frame in an engine's axes: v' = det(P) P v, w' = w.</summary>
        public static Rotation ToEngine(Rotation enu, Axes axes)
        {
            switch (axes)
            {
                case Axes.Unity:
                    return new Rotation(-enu.X, -enu.Z, -enu.Y, enu.W);
                case Axes.Unreal:
                    return new Rotation(-enu.X, enu.Y, -enu.Z, enu.W);
                case Axes.Gltf:
                    return new Rotation(enu.X, enu.Z, -enu.Y, enu.W);
                default:
                    return enu;
            }
        }

        /// <summary>Returns a rotation in an engine's axes in the ENU frame.</summary>
        public static Rotation ToEnu(Rotation engine, Axes axes)
        {
            switch (axes)
            {
                case Axes.Unity:
                    return new Rotation(-engine.X, -engine.Z, -engine.Y, engine.W);
                case Axes.Unreal:
                    return new Rotation(-engine.X, engine.Y, -engine.Z, engine.W);
                case Axes.Gltf:
                    return new Rotation(engine.X, -engine.Z, engine.Y, engine.W);
                default:
                    return engine;
            }
        }

        /// <summary>Returns the yaw (counter-clockwise from east, -180 to 180) of an azimuth (clockwise
        /// from north).</summary>
        public static double AzimuthToYawDeg(double azimuthDeg)
        {
            return Remainder(90.0 - azimuthDeg + 180.0) - 180.0;
        }

        /// <summary>Returns the azimuth (0 to 360) of a yaw.</summary>
        public static double YawToAzimuthDeg(double yawDeg)
        {
            return Remainder(90.0 - yawDeg);
        }

        /// <summary>Returns the ENU rotation of something that looks along its own +x towards an azimuth, tilted down
        /// by `downtiltDeg` (positive = down).</summary>
        public static Rotation View(double azimuthDeg, double downtiltDeg)
        {
            double yawHalf = AzimuthToYawDeg(azimuthDeg) * Math.PI / 360.0;
            double downHalf = downtiltDeg * Math.PI / 360.0;
            return new Rotation(
                -Math.Sin(yawHalf) * Math.Sin(downHalf),
                Math.Cos(yawHalf) * Math.Sin(downHalf),
                Math.Sin(yawHalf) * Math.Cos(downHalf),
                Math.Cos(yawHalf) * Math.Cos(downHalf));
        }

        private static double Remainder(double deg)
        {
            return deg - (360.0 * Math.Floor(deg / 360.0));
        }
    }
}
