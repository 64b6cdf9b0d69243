"""Engineering units in the form of OPC UA.

Sources: UN/CEFACT Recommendation 20 (common codes and names), OPC 10000-8, 5.6.3 (EUInformation:
its namespace, and the unit id made of the code's characters).
"""

from __future__ import annotations

from asyncua import ua

CEFACT = "http://www.opcfoundation.org/UA/units/un/cefact"
OWN = "urn:fieldline:units"

# Symbol as declared in a site → (common code, name). Spellings of one unit stand side by side.
_UNITS: dict[str, tuple[str, str]] = {
    "°C": ("CEL", "degree Celsius"),
    "°F": ("FAH", "degree Fahrenheit"),
    "K": ("KEL", "kelvin"),
    "bar": ("BAR", "bar [unit of pressure]"),
    "mbar": ("MBR", "millibar"),
    "Pa": ("PAL", "pascal"),
    "hPa": ("A97", "hectopascal"),
    "kPa": ("KPA", "kilopascal"),
    "MPa": ("MPA", "megapascal"),
    "%": ("P1", "percent"),
    "ppm": ("59", "part per million"),
    "m": ("MTR", "metre"),
    "cm": ("CMT", "centimetre"),
    "mm": ("MMT", "millimetre"),
    "µm": ("4H", "micrometre (micron)"),
    "km": ("KMT", "kilometre"),
    "m²": ("MTK", "square metre"),
    "m³": ("MTQ", "cubic metre"),
    "l": ("LTR", "litre"),
    "L": ("LTR", "litre"),
    "m/s": ("MTS", "metre per second"),
    "km/h": ("KMH", "kilometre per hour"),
    "m/s²": ("MSK", "metre per second squared"),
    "m³/h": ("MQH", "cubic metre per hour"),
    "m³/s": ("MQS", "cubic metre per second"),
    "l/min": ("L2", "litre per minute"),
    "L/min": ("L2", "litre per minute"),
    "kg": ("KGM", "kilogram"),
    "g": ("GRM", "gram"),
    "t": ("TNE", "tonne (metric ton)"),
    "kg/s": ("KGS", "kilogram per second"),
    "kg/h": ("E93", "kilogram per hour"),
    "kg/m³": ("KMQ", "kilogram per cubic metre"),
    "N": ("NEW", "newton"),
    "kN": ("B47", "kilonewton"),
    "N·m": ("NU", "newton metre"),
    "Nm": ("NU", "newton metre"),
    "s": ("SEC", "second [unit of time]"),
    "ms": ("C26", "millisecond"),
    "min": ("MIN", "minute [unit of time]"),
    "h": ("HUR", "hour"),
    "d": ("DAY", "day"),
    "Hz": ("HTZ", "hertz"),
    "kHz": ("KHZ", "kilohertz"),
    "MHz": ("MHZ", "megahertz"),
    "r/min": ("RPM", "revolutions per minute"),
    "rpm": ("RPM", "revolutions per minute"),
    "rad": ("C81", "radian"),
    "°": ("DD", "degree [unit of angle]"),
    "V": ("VLT", "volt"),
    "mV": ("2Z", "millivolt"),
    "kV": ("KVT", "kilovolt"),
    "A": ("AMP", "ampere"),
    "mA": ("4K", "milliampere"),
    "Ω": ("OHM", "ohm"),
    "W": ("WTT", "watt"),
    "kW": ("KWT", "kilowatt"),
    "MW": ("MAW", "megawatt"),
    "J": ("JOU", "joule"),
    "kWh": ("KWH", "kilowatt hour"),
    "MWh": ("MWH", "megawatt hour (1000 kW.h)"),
    "lx": ("LUX", "lux"),
    "dB": ("2N", "decibel"),
    "pH": ("Q30", "pH (potential of Hydrogen)"),
}


def unit_id(code: str) -> int:
    """A common code as the number that OPC UA makes of it: its characters, first one highest."""
    return int.from_bytes(code.encode("ascii"), "big")


def eu_information(symbol: str) -> ua.EUInformation:
    """The unit of a variable; one that Recommendation 20 does not list here has unit id -1."""
    code, name = _UNITS.get(symbol, ("", ""))
    unit = ua.EUInformation()
    unit.NamespaceUri = CEFACT if code else OWN
    unit.UnitId = unit_id(code) if code else -1
    unit.DisplayName = ua.LocalizedText(symbol)
    unit.Description = ua.LocalizedText(name or symbol)
    return unit
