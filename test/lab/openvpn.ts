import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { run } from './process';
import type { RunDirectory } from './run-directory';
import {
  address,
  type ClientName,
  families,
  openVpnClients,
  type Tunnel,
  tunnelAddress,
  type TunnelName,
  tunnels,
} from './topology';

/** The server processes: unit instance and tunnel of each. */
export const serverProcesses = { server: 'openvpn', second: 'openvpnSecond' } as const satisfies Record<
  string,
  TunnelName
>;
export type ServerProcess = keyof typeof serverProcesses;

interface Certificate {
  readonly key: string;
  readonly certificate: string;
}

/**
 * Self-signed: each side has those of the others as its authorities, so there is none to set up. `peer-fingerprint` would
 * say it better, but version 2.5 does not have it.
 */
async function certify(directory: RunDirectory, name: string): Promise<Certificate> {
  mkdirSync(directory.path('openvpn'), { recursive: true });
  const keyFile = directory.path('openvpn', `${name}.key`);
  const file = directory.path('openvpn', `${name}.crt`);
  await run([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
    ...['-subj', `/CN=${name}`, '-keyout', keyFile, '-out', file],
  ]);
  return { key: readFileSync(keyFile, 'utf8'), certificate: readFileSync(file, 'utf8') };
}

/** Write the configuration of both server processes and of all clients into their roots. */
export async function configureOpenVpn(
  directory: RunDirectory,
  roots: Readonly<Record<'vpn' | ClientName, string>>,
): Promise<void> {
  const [server, ...clients] = await Promise.all(['server', ...openVpnClients].map((name) => certify(directory, name)));
  const write = (root: string, path: string, text: string): void => {
    mkdirSync(`${root}/etc/openvpn/${path}`.replace(/\/[^/]*$/, ''), { recursive: true });
    writeFileSync(`${root}/etc/openvpn/${path}`, text);
  };
  for (const [instance, tunnelName] of Object.entries(serverProcesses)) {
    write(roots.vpn, `server/${instance}.conf`, serverConfiguration(tunnels[tunnelName], instance, server, clients));
    for (const name of openVpnClients) {
      write(roots.vpn, `clients/${instance}/${name}`, clientAddresses(name, tunnelName));
    }
  }
  mkdirSync(`${roots.vpn}/etc/systemd/system/openvpn-server@.service.d`, { recursive: true });
  writeFileSync(`${roots.vpn}/etc/systemd/system/openvpn-server@.service.d/lab.conf`, unitDropIn);
  openVpnClients.forEach((name, index) => {
    for (const [instance, tunnelName] of Object.entries(serverProcesses)) {
      write(roots[name], `${instance}.conf`, clientConfiguration(tunnels[tunnelName], clients[index], server));
    }
  });
}

/**
 * What vpn-server-node does: the option `up` is in the configuration if the script is there when
 * the server starts.
 */
const unitDropIn = `[Service]
RuntimeDirectory=openvpn-server
RuntimeDirectoryPreserve=yes
ExecStartPre=/bin/sh -c '{ echo "script-security 2"; [ ! -e /etc/openvpn/up ] || echo "up /etc/openvpn/up"; } >/run/openvpn-server/up-%i.conf'
`;

function serverConfiguration(
  tunnel: Tunnel,
  instance: string,
  server: Certificate,
  clients: readonly Certificate[],
): string {
  return `# No client-to-client: the kernel routes between the clients, as with several server processes.
dev ${tunnel.device}
dev-type tun
proto udp
port ${tunnel.port}
multihome
topology subnet
server ${tunnel.pool.ipv4.replace('/24', '')} 255.255.255.0
server-ipv6 ${tunnel.pool.ipv6}
client-config-dir /etc/openvpn/clients/${instance}
dh none
user nobody
group nogroup
persist-key
persist-tun
# Clients notice within seconds that the server was rebooted.
keepalive 1 4
explicit-exit-notify 1
verb 3
config /run/openvpn-server/up-${instance}.conf
${inline('ca', clients.map(({ certificate }) => certificate).join(''))}
${identity(server)}
`;
}

const clientAddresses = (name: ClientName, tunnelName: TunnelName): string =>
  `ifconfig-push ${tunnelAddress(name, 'ipv4', tunnelName)} 255.255.255.0
ifconfig-ipv6-push ${tunnelAddress(name, 'ipv6', tunnelName)}/64
`;

function clientConfiguration(tunnel: Tunnel, client: Certificate, server: Certificate): string {
  return `client
dev tun0
dev-type tun
proto udp
remote ${address('vpn', 'eth0', 'ipv4')} ${tunnel.port}
nobind
persist-key
persist-tun
tls-timeout 1
server-poll-timeout 2
connect-retry 1 1
explicit-exit-notify 1
verb 3
# Everything goes into the tunnel and stays there while it is down; the LAN is on-link.
route 0.0.0.0 0.0.0.0
route-ipv6 ::/0
${inline('ca', server.certificate)}
${identity(client)}
`;
}

const inline = (option: string, text: string): string => `<${option}>\n${text.trim()}\n</${option}>`;

const identity = ({ key, certificate }: Certificate): string => `${inline('cert', certificate)}\n${inline('key', key)}`;

/** What a client's container runs. */
export const openVpnClientCommand = (instance: ServerProcess): string[] => [
  'openvpn',
  '--config',
  `/etc/openvpn/${instance}.conf`,
];

/** An address of the VPN server that answers once a client's tunnel is up. */
export const tunnelServerAddresses = (name: TunnelName): string[] =>
  families.map((family) => tunnels[name].server[family]);
