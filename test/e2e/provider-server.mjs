// Stands in for a provider, for a box that reaches no registry: speaks Terraform's plugin protocol 5 on a socket and
// prints what TF_REATTACH_PROVIDERS wants to know.
//
// The protocol: https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol
import grpc from '@grpc/grpc-js';
import protobuf from '@grpc/proto-loader';
import { ExtData, ExtensionCodec, decode, encode } from '@msgpack/msgpack';

// Extension type 0 is a value that Terraform does not know yet.
export const UNKNOWN = new ExtData(0, new Uint8Array([0]));
const extensionCodec = new ExtensionCodec();
export const unpack = (value) => decode(value.msgpack, { extensionCodec });
export const pack = (value) => ({ msgpack: encode(value, { extensionCodec }) });
export const same = (a, b) => Buffer.compare(encode(a, { extensionCodec }), encode(b, { extensionCodec })) === 0;

export const attribute = (name, type, rest) => ({ name, type: Buffer.from(JSON.stringify(type)), ...rest });

/** What a provider without settings of its own answers. */
export const WITHOUT_SETTINGS = {
  PrepareProviderConfig: ({ config }) => ({ prepared_config: config }),
  Configure: () => ({}),
  Stop: () => ({}),
};

/** Answers the calls of Terraform to the provider hashicorp/NAME. An answer may be a promise. */
export function serve(name, socket, calls) {
  const proto = protobuf.loadSync(new URL('tfplugin5.proto', import.meta.url).pathname, {
    keepCase: true,
    defaults: true,
  });
  const { Provider } = grpc.loadPackageDefinition(proto).tfplugin5;
  const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
  const implementation = Object.entries(calls).map(([call, answer]) => [
    call,
    ({ request }, callback) =>
      Promise.resolve()
        .then(() => answer(request))
        .then(
          (value) => callback(null, value),
          (error) => callback({ code: grpc.status.INTERNAL, message: String(error.stack) }),
        ),
  ]);
  server.addService(Provider.service, Object.fromEntries(implementation));
  server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) {
      throw error;
    }
    const host = ['registry', 'terraform', 'io'].join('.');
    const reattach = {
      [`${host}/hashicorp/${name}`]: {
        Protocol: 'grpc',
        ProtocolVersion: 5,
        Pid: process.pid,
        Test: true,
        Addr: { Network: 'unix', String: socket },
      },
    };
    process.stdout.write(`${JSON.stringify(reattach)}\n`);
  });
}
