// A stand-in for the provider hashicorp/external: runs a program, with the query on its standard input, and takes a JSON
// object of strings from its standard output.
//
//   node external-provider.mjs SOCKET
import { spawn } from 'node:child_process';
import { WITHOUT_SETTINGS, attribute, pack, serve, unpack } from './provider-server.mjs';

const schema = {
  version: 0,
  block: {
    version: 0,
    attributes: [
      attribute('id', 'string', { computed: true }),
      attribute('program', ['list', 'string'], { required: true }),
      attribute('query', ['map', 'string'], { optional: true }),
      attribute('result', ['map', 'string'], { computed: true }),
      attribute('working_dir', 'string', { optional: true }),
    ],
  },
};

function run({ program: [command, ...args], query, working_dir: cwd }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: cwd ?? undefined });
    const [output, errors] = [[], []];
    child.stdout.on('data', (data) => output.push(data));
    child.stderr.on('data', (data) => errors.push(data));
    child.on('error', reject);
    child.on('close', (code) => {
      const said = Buffer.concat(output).toString();
      if (code !== 0) {
        reject(new Error(`the program ended with ${code}: ${Buffer.concat(errors)}`));
        return;
      }
      const result = JSON.parse(said);
      if (Object.values(result).some((value) => typeof value !== 'string')) {
        reject(new Error(`not all values are strings: ${said}`));
        return;
      }
      resolve(result);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(JSON.stringify(query ?? {}));
  });
}

serve('external', process.argv[2], {
  ...WITHOUT_SETTINGS,
  GetSchema: () => ({
    provider: { version: 0, block: { version: 0 } },
    data_source_schemas: { external: schema },
  }),
  ValidateDataSourceConfig: () => ({}),
  ReadDataSource: async ({ config }) => {
    const given = unpack(config);
    return { state: pack({ ...given, id: '-', result: await run(given) }) };
  },
});
