// The camera of the sample: looks straight down from above, north at the top, and paints what is there as dots.
using System;
using System.Collections.Generic;
using Twin6G.Core;
using Twin6G.Wire;

namespace Twin6G.Sample
{
    internal static class PlanView
    {
        private const int MostPixels = 2048;
        private const double FovDeg = 60.0;
        private const double LeastHalfWidthM = 50.0;

        /// <summary>Takes a picture of places (east, north, up of each); cells are red, phones white.</summary>
        internal static CameraFrame Take(CameraRequest request, List<float[]> cells, List<float[]> ues, double simTimeS)
        {
            int width = request.Width == 0 ? 320 : (int)request.Width;
            int height = request.Height == 0 ? 240 : (int)request.Height;
            if (width > MostPixels || height > MostPixels)
            {
                return new CameraFrame { Reason = "this camera paints at most " + MostPixels + " x " + MostPixels };
            }

            double halfWidthM = LeastHalfWidthM;
            foreach (List<float[]> places in new[] { cells, ues })
            {
                foreach (float[] at in places)
                {
                    halfWidthM = Math.Max(halfWidthM, 1.1 * Math.Abs(at[0]));
                    halfWidthM = Math.Max(halfWidthM, 1.1 * Math.Abs(at[1]) * width / height);
                }
            }

            byte[] pixels = new byte[3 * width * height];
            Paint(pixels, width, height, halfWidthM, cells, 230, 40, 40);
            Paint(pixels, width, height, halfWidthM, ues, 255, 255, 255);
            CameraFrame picture = new CameraFrame { Codec = ImageCodec.RawRgb, Data = pixels, SimTimeS = simTimeS };
            picture.Width = (uint)width;
            picture.Height = (uint)height;
            picture.HorizontalFovDeg = (float)FovDeg;
            picture.Position = new Position { UpM = (float)(halfWidthM / Math.Tan(FovDeg * Math.PI / 360.0)) };
            Rotation down = Frames.View(0.0, 90.0);
            picture.Rotation = new[] { (float)down.X, (float)down.Y, (float)down.Z, (float)down.W };
            return picture;
        }

        private static void Paint(
            byte[] pixels, int width, int height, double halfWidthM, List<float[]> places, params byte[] colour)
        {
            double pixelsPerM = width / (2.0 * halfWidthM);
            foreach (float[] at in places)
            {
                int column = (int)Math.Floor((width / 2.0) + (at[0] * pixelsPerM));
                int row = (int)Math.Floor((height / 2.0) - (at[1] * pixelsPerM));
                for (int y = Math.Max(row - 1, 0); y <= Math.Min(row + 1, height - 1); y++)
                {
                    for (int x = Math.Max(column - 1, 0); x <= Math.Min(column + 1, width - 1); x++)
                    {
                        int pixel = 3 * ((y * width) + x);
                        Buffer.BlockCopy(colour, 0, pixels, pixel, 3);
                    }
                }
            }
        }
    }
}
