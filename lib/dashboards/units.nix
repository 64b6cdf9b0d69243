# The site's units as Grafana's unit ids (packages/grafana-data/src/valueFormats/categories.ts there);
# a unit that it does not know is shown as it is written.
unit:
let
  known = {
    "" = "none";
    "%" = "percent";
    "°C" = "celsius";
    "°F" = "fahrenheit";
    "K" = "kelvin";
    "bar" = "pressurebar";
    "mbar" = "pressurembar";
    "Pa" = "pressurepa";
    "hPa" = "pressurehpa";
    "kPa" = "pressurekpa";
    "psi" = "pressurepsi";
    "V" = "volt";
    "mV" = "mvolt";
    "A" = "amp";
    "mA" = "mamp";
    "W" = "watt";
    "kW" = "kwatt";
    "kWh" = "kwatth";
    "Hz" = "hertz";
    "rpm" = "rotrpm";
    "mm" = "lengthmm";
    "m" = "lengthm";
    "m/s" = "velocityms";
    "m³" = "m3";
    "l/min" = "flowlpm";
    "kg" = "masskg";
    "g" = "massg";
    "N" = "forceN";
    "kN" = "forcekN";
    "s" = "s";
    "ms" = "ms";
    "ppm" = "ppm";
  };
in
known.${unit} or "suffix:${unit}"
