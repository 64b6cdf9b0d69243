// A server of node-opcua for the benchmark opc-server-peers: FOLDER PORT COUNT:PERIOD_MS ...
//
// Group g has COUNT variables, ten to an object, whose ids are ns=2;s=gGaA.vN. Each gets another value
// at each tick, all values of a tick one source time. It prints "ready", then a line for each tick:
// its time in ns since 1970 and how many values it had. SIGTERM ends it. FOLDER holds node_modules
// and the certificate that node-opcua wants also where nothing is encrypted.
import { createRequire } from "node:module";
import path from "node:path";

const PER_OBJECT = 10;
const [folder, port, ...texts] = process.argv.slice(2);
const require = createRequire(path.join(folder, "here.js"));
const { OPCUAServer } = require("node-opcua-server");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { nodesets } = require("node-opcua-nodesets");
const { Variant, DataType } = require("node-opcua-variant");
const { StatusCodes } = require("node-opcua-status-code");

const serverCertificateManager = new OPCUACertificateManager({
  rootFolder: path.join(folder, "pki"),
  automaticallyAcceptUnknownCertificate: true,
});
await serverCertificateManager.initialize();
const server = new OPCUAServer({
  host: "127.0.0.1",
  hostname: "127.0.0.1",
  port: Number(port),
  nodeset_filename: [nodesets.standard],
  serverCertificateManager,
  securityModes: [MessageSecurityMode.None],
  securityPolicies: [SecurityPolicy.None],
  allowAnonymous: true,
  // 0: each change is told, none is coalesced; and all items are made in one call.
  serverCapabilities: {
    minSupportedSampleRate: 0,
    operationLimits: { maxMonitoredItemsPerCall: 0 },
    maxMonitoredItems: 100000,
    maxMonitoredItemsPerSubscription: 100000,
    maxMonitoredItemsQueueSize: 10000,
  },
});
await server.initialize();
const space = server.engine.addressSpace;
const namespace = space.registerNamespace("urn:fieldline:bench");
if (namespace.index !== 2) throw new Error(`the namespace has got ${namespace.index}`);

const groups = texts.map((text, number) => {
  const [count, periodMs] = text.split(":").map(Number);
  const variables = [];
  let object;
  for (let i = 0; i < count; i++) {
    const name = `g${number}a${Math.floor(i / PER_OBJECT)}`;
    if (i % PER_OBJECT === 0) {
      object = namespace.addObject({
        nodeId: `s=${name}`,
        browseName: name,
        organizedBy: space.rootFolder.objects,
      });
    }
    const id = `${name}.v${i % PER_OBJECT}`;
    variables.push(
      namespace.addVariable({
        nodeId: `s=${id}`,
        browseName: id,
        componentOf: object,
        dataType: "Double",
        minimumSamplingInterval: 0,
      }),
    );
  }
  return { periodMs, variables, turn: -1 };
});
// The others are multiples of the shortest.
const baseMs = Math.min(...groups.map((group) => group.periodMs));
function tick(number) {
  const now = new Date();
  let written = 0;
  for (const group of groups) {
    const turn = Math.floor((number * baseMs) / group.periodMs);
    if (turn === group.turn) continue;
    group.turn = turn;
    group.variables.forEach((variable, i) => {
      const value = new Variant({ dataType: DataType.Double, value: number + i / 1000 });
      variable.setValueFromSource(value, StatusCodes.Good, now);
    });
    written += group.variables.length;
  }
  if (written > 0) process.stdout.write(`${now.getTime()}000000 ${written}\n`);
}

// A grid: a tick that comes late is one tick, and the next one is on the grid again.
const origin = performance.now();
let tickNumber = 0;
function next() {
  const passed = performance.now() - origin;
  tickNumber = Math.max(tickNumber + 1, Math.ceil(passed / baseMs));
  setTimeout(() => {
    tick(tickNumber);
    next();
  }, tickNumber * baseMs - passed);
}

tick(0);
await server.start();
process.stdout.write("ready\n");
next();
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => process.exit(0));
}
