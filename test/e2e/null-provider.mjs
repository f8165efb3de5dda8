// A stand-in for the provider hashicorp/null, for a box that reaches no registry: speaks
// Terraform's plugin protocol 5 on a socket and prints what TF_REATTACH_PROVIDERS wants to know.
//
//   node null-provider.mjs SOCKET
//
// The protocol: https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol
import { randomInt } from 'node:crypto';
import grpc from '@grpc/grpc-js';
import protobuf from '@grpc/proto-loader';
import { ExtData, ExtensionCodec, decode, encode } from '@msgpack/msgpack';

const socket = process.argv[2];
// Extension type 0 is a value that Terraform does not know yet.
const UNKNOWN = new ExtData(0, new Uint8Array([0]));
const extensionCodec = new ExtensionCodec();
const unpack = (value) => decode(value.msgpack, { extensionCodec });
const pack = (value) => ({ msgpack: encode(value, { extensionCodec }) });
const same = (a, b) => Buffer.compare(encode(a, { extensionCodec }), encode(b, { extensionCodec })) === 0;

const attribute = (name, type, rest) => ({ name, type: Buffer.from(JSON.stringify(type)), ...rest });
const schema = {
  version: 0,
  block: {
    version: 0,
    attributes: [
      attribute('id', 'string', { computed: true }),
      attribute('triggers', ['map', 'string'], { optional: true }),
    ],
  },
};

const calls = {
  GetSchema: () => ({
    provider: { version: 0, block: { version: 0 } },
    resource_schemas: { null_resource: schema },
  }),
  PrepareProviderConfig: ({ config }) => ({ prepared_config: config }),
  ValidateResourceTypeConfig: () => ({}),
  Configure: () => ({}),
  UpgradeResourceState: ({ raw_state }) => ({ upgraded_state: pack(JSON.parse(raw_state.json)) }),
  ReadResource: ({ current_state }) => ({ new_state: current_state }),
  PlanResourceChange: ({ prior_state, proposed_new_state }) => {
    const prior = unpack(prior_state);
    const next = unpack(proposed_new_state);
    if (next === null) {
      return { planned_state: pack(null) };
    }
    const replace = prior !== null && !same(prior.triggers, next.triggers);
    const id = prior === null || replace ? UNKNOWN : prior.id;
    return {
      planned_state: pack({ ...next, id }),
      requires_replace: replace ? [{ steps: [{ attribute_name: 'triggers' }] }] : [],
    };
  },
  ApplyResourceChange: ({ prior_state, planned_state }) => {
    const planned = unpack(planned_state);
    if (planned === null) {
      return { new_state: pack(null) };
    }
    const id = unpack(prior_state)?.id ?? String(randomInt(2 ** 47));
    return { new_state: pack({ ...planned, id }) };
  },
  Stop: () => ({}),
};

const proto = protobuf.loadSync(new URL('tfplugin5.proto', import.meta.url).pathname, {
  keepCase: true,
  defaults: true,
});
const { Provider } = grpc.loadPackageDefinition(proto).tfplugin5;
const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
server.addService(
  Provider.service,
  Object.fromEntries(
    Object.entries(calls).map(([name, answer]) => [
      name,
      (call, callback) => {
        try {
          callback(null, answer(call.request));
        } catch (error) {
          callback({ code: grpc.status.INTERNAL, message: String(error.stack) });
        }
      },
    ]),
  ),
);
server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) {
    throw error;
  }
  const host = ['registry', 'terraform', 'io'].join('.');
  const reattach = {
    [`${host}/hashicorp/null`]: {
      Protocol: 'grpc',
      ProtocolVersion: 5,
      Pid: process.pid,
      Test: true,
      Addr: { Network: 'unix', String: socket },
    },
  };
  process.stdout.write(`${JSON.stringify(reattach)}\n`);
});
