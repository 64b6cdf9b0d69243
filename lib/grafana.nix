# Grafana: its unit, its configuration, the provisioned data source and dashboards.
{
  plant,
  host,
  dashboards,
}:
let
  inherit (plant) site util;
  inherit (util) optionalAttrs optionals overlay;
  units = import ./units.nix;
  tokens = import ./tokens.nix;

  here = plant.has "grafana" host;
  directory = "/var/lib/grafana";
  dashboardDirectory = "/etc/grafana/dashboards";

  # Read by Grafana itself, never written into a configuration.
  file = name: "$__file{${units.credentialPath "grafana" name}}";

  settings = {
    paths = {
      data = "${directory}/data";
      plugins = "${directory}/plugins";
    };
    server = {
      protocol = "http";
      http_addr = host.address;
      http_port = site.grafana.port;
      # Its own host's name may be known to nobody else.
      domain = host.address;
    };
    security = {
      admin_user = "admin";
      admin_password = file "grafana-admin-password";
      # Encrypts what Grafana keeps of data sources; its default is a public constant.
      secret_key = file "grafana-secret-key";
      disable_gravatar = true;
      cookie_samesite = "strict";
    };
    users = {
      allow_sign_up = false;
      allow_org_create = false;
    };
    "auth.anonymous".enabled = false;
    # A plant's page calls nobody.
    analytics = {
      reporting_enabled = false;
      check_for_updates = false;
      check_for_plugin_updates = false;
      feedback_links_enabled = false;
    };
    news.news_feed_enabled = false;
    snapshots.external_enabled = false;
    plugins = {
      plugin_admin_enabled = false;
      preinstall_disabled = true;
    };
    # journald has the rest.
    log = {
      mode = "console";
      level = "info";
    };
    "log.console".format = "text";
  };

  datasources = {
    apiVersion = 1;
    datasources = [
      {
        name = "Fieldline";
        # Dashboards refer to it.
        uid = "fieldline-influxdb";
        type = "influxdb";
        access = "proxy";
        url = plant.influxdbUrl;
        isDefault = true;
        editable = false;
        jsonData = {
          version = "Flux";
          organization = site.influxdb.organization;
          defaultBucket = site.influxdb.bucket;
        };
        secureJsonData.token = file "influxdb-grafana-token";
      }
    ];
  };

  providers = {
    apiVersion = 1;
    providers = [
      {
        name = "fieldline";
        type = "file";
        disableDeletion = true;
        # Changes belong in the site; one made in the page would be lost at the next start.
        allowUiUpdates = false;
        options.path = dashboardDirectory;
      }
    ];
  };
in
{
  files = optionalAttrs here (
    {
      "/etc/grafana/grafana.ini" = {
        format = "ini";
        value = overlay settings (host.settings.grafana or { });
      };
      "/etc/grafana/provisioning/datasources/fieldline.yaml" = {
        format = "yaml";
        value = datasources;
      };
      "/etc/grafana/provisioning/dashboards/fieldline.yaml" = {
        format = "yaml";
        value = providers;
      };
    }
    // builtins.listToAttrs (
      util.mapToList (name: value: {
        name = "${dashboardDirectory}/${name}.json";
        value = {
          format = "json";
          inherit value;
        };
      }) dashboards
    )
  );

  units = optionalAttrs here {
    grafana = units.foreign "grafana" {
      description = "Grafana, the dashboards";
      after = [
        "influxdb2.service"
        tokens.unit
      ];
      wants = [ tokens.unit ];
      command = {
        program = "grafana";
        # The program's own files (--homepath) are where its package is; who binds this adds it. Where
        # provisioning is read from is no setting: NixOS keeps it in its store.
        arguments = [
          "server"
          "--config"
          "/etc/grafana/grafana.ini"
          "cfg:default.paths.provisioning=/etc/grafana/provisioning"
        ];
      };
      serviceConfig = {
        StateDirectory = "grafana";
        StateDirectoryMode = "0700";
        # nixpkgs' own choice for it: chown is used on its database.
        SystemCallFilter = [
          "@system-service"
          "~@privileged"
        ];
        # It closes its database and its clients' streams.
        TimeoutStopSec = "30s";
      };
      credentials =
        units.secret "grafana-admin-password"
        // units.secret "grafana-secret-key"
        // {
          influxdb-grafana-token = tokens.file "grafana";
        };
    };
  };

  users = optionalAttrs here { grafana = { }; };

  firewall = optionals here [
    {
      port = site.grafana.port;
      sources = null;
      purpose = "Grafana";
    }
  ];
}
