// One JSON line per happening on standard output.
using System;
using System.Globalization;
using System.Text;

namespace Twin6G.Sample
{
    /// <summary>Builds one line.</summary>
    internal sealed class Say
    {
        private readonly StringBuilder text = new StringBuilder("{");

        internal static Say Line(string what)
        {
            return new Say().Add("what", what);
        }

        internal Say Add(string name, string value)
        {
            Name(name);
            Quote(value);
            return this;
        }

        /// <summary>Adds a number; what JSON has no number for becomes null.</summary>
        internal Say Add(string name, double value)
        {
            Name(name);
            bool known = !double.IsNaN(value) && !double.IsInfinity(value);
            text.Append(known ? value.ToString("R", CultureInfo.InvariantCulture) : "null");
            return this;
        }

        internal void Print()
        {
            Console.Out.WriteLine(text.Append('}').ToString());
            Console.Out.Flush();
        }

        private void Name(string name)
        {
            text.Append(text.Length > 1 ? "," : string.Empty);
            Quote(name);
            text.Append(':');
        }

        private void Quote(string value)
        {
            text.Append('"');
            foreach (char one in value)
            {
                if (one == '"' || one == '\\')
                {
                    text.Append('\\').Append(one);
                }
                else if (one < ' ' || one > '~')
                {
                    text.Append("\\u").Append(((int)one).ToString("x4", CultureInfo.InvariantCulture));
                }
                else
                {
                    text.Append(one);
                }
            }

            text.Append('"');
        }
    }
}
