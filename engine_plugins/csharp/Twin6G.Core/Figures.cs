// Figures as floats, whether they came as floats or as 16-bit integers (rule F6).
using Twin6G.Wire;

namespace Twin6G.Core
{
    /// <summary>Reads the figures of Telemetry.</summary>
    public static class Figures
    {
        private const short Missing = -32768;

        /// <summary>Returns east, north, up of each entity in metres, 3 n numbers; empty when nothing moved. NaN where
        /// one is missing.</summary>
        public static float[] PositionsM(Telemetry batch)
        {
            Quantised q = batch.Quantised;
            return q == null ? batch.PositionM : Restore(q.PositionInt16, q.PositionOffsetM, q.PositionScaleM);
        }

        /// <summary>Returns n rows of k figures, row by row; NaN where one is missing.</summary>
        public static float[] Values(Telemetry batch)
        {
            Quantised q = batch.Quantised;
            return q == null ? batch.Values : Restore(q.ValuesInt16, q.ValuesOffset, q.ValuesScale);
        }

        private static float[] Restore(byte[] integers, float[] offset, float[] scale)
        {
            int columns = offset.Length;
            int count = integers.Length / 2;
            bool rows = columns == 0 ? count == 0 : count % columns == 0;
            if (columns != scale.Length || integers.Length % 2 != 0 || !rows)
            {
                throw new ProtocolException(
                    count + " integers do not make rows of " + columns + " offsets and " + scale.Length + " scales.");
            }

            float[] figures = new float[count];
            for (int i = 0; i < count; i++)
            {
                short integer = (short)(integers[2 * i] | (integers[(2 * i) + 1] << 8));
                double figure = offset[i % columns] + ((double)scale[i % columns] * integer);
                figures[i] = integer == Missing ? float.NaN : (float)figure;
            }

            return figures;
        }
    }
}
