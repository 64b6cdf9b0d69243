# sites/ipv6.toml: RFC 3986, addresses stand in brackets before a port.
let
  inherit (import ../../../lib { site = ../sites/ipv6.toml; }) lab;
  inherit (lab.hosts) opc collector db;
  first = builtins.head;
  telegraf = host: host.files."/etc/telegraf/telegraf.toml".value;
  kafka = db.files."/etc/apache-kafka/server.properties".value;
  after =
    option: arguments:
    let
      next =
        builtins.foldl'
          (
            state: argument:
            if state.found && state.value == null then
              state // { value = argument; }
            else if argument == option then
              state // { found = true; }
            else
              state
          )
          {
            found = false;
            value = null;
          }
          arguments;
    in
    next.value;
in
{
  "endpoints" = {
    actual = {
      listen = after "--listen" opc.units.opc-server.command.arguments;
      metrics = after "--metrics" opc.units.opc-server.command.arguments;
      bootstrap = after "--bootstrap-servers" collector.units.stream-model.command.arguments;
      listener = (first (telegraf collector).inputs.opcua_listener).endpoint;
      broker = first (first (telegraf collector).outputs.kafka).brokers;
      exporter = (first (telegraf db).outputs.prometheus_client).listen;
    };
    expected = {
      listen = "[fd00:17::5]:4840";
      metrics = "[fd00:17::5]:9101";
      bootstrap = "[fd00:17::10]:9092";
      listener = "opc.tcp://[fd00:17::5]:4840";
      broker = "[fd00:17::10]:9092";
      exporter = "[fd00:17::10]:9103";
    };
  };
  "kafka" = {
    actual = kafka."advertised.listeners";
    expected = "PLAINTEXT://[fd00:17::10]:9092";
  };
  # Grafana joins address and port itself (net.JoinHostPort), so it wants no brackets.
  "grafana" = {
    actual = db.files."/etc/grafana/grafana.ini".value.server.http_addr;
    expected = "fd00:17::10";
  };
  "loopback" = {
    actual = lab.influxdb.url;
    expected = "http://127.0.0.1:8086";
  };
  "firewall" = {
    actual =
      builtins.match ".*ip6 saddr [{] fd00:17::7 [}] tcp dport 4840 accept.*" opc.nftables != null;
    expected = true;
  };
}
