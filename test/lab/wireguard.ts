import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { address, type ClientName, tunnelAddress, tunnels, wireGuardClients } from './topology';

interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

function keyPair(): KeyPair {
  const jwk = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  const wireGuard = (value?: string): string => Buffer.from(value ?? '', 'base64url').toString('base64');
  return { privateKey: wireGuard(jwk.d), publicKey: wireGuard(jwk.x) };
}

/**
 * wg-quick's configuration of the server and of all clients. Where the kernel has no WireGuard,
 * wg-quick takes wireguard-go by itself.
 */
export function configureWireGuard(roots: Readonly<Record<'vpn' | ClientName, string>>): void {
  const write = (root: string, text: string): void => {
    mkdirSync(`${root}/etc/wireguard`, { recursive: true });
    writeFileSync(`${root}/etc/wireguard/wg0.conf`, text, { mode: 0o600 });
  };
  const { device, port, server: own } = tunnels.wireguard;
  const server = keyPair();
  const clients = wireGuardClients.map((name) => ({ name, ...keyPair() }));
  // The server knows where its clients are, so that after a reboot it is the server who calls
  // them: a client would notice only after 15 seconds that its session is gone.
  const peers = clients.map(
    ({ name, publicKey }) => `
[Peer]
PublicKey = ${publicKey}
AllowedIPs = ${tunnelAddress(name, 'ipv4')}/32, ${tunnelAddress(name, 'ipv6')}/128
Endpoint = ${address(name, 'eth0', 'ipv4')}:${port}
PersistentKeepalive = 1
`,
  );
  write(
    roots.vpn,
    `[Interface]
Address = ${own.ipv4}/24, ${own.ipv6}/64
ListenPort = ${port}
PrivateKey = ${server.privateKey}
${peers.join('')}`,
  );
  for (const { name, privateKey } of clients) {
    write(
      roots[name],
      `[Interface]
Address = ${tunnelAddress(name, 'ipv4')}/24, ${tunnelAddress(name, 'ipv6')}/64
ListenPort = ${port}
PrivateKey = ${privateKey}
# The LAN is on-link; all else goes into the tunnel.
Table = off
PostUp = ip -4 route add default dev ${device}; ip -6 route add default dev ${device}

[Peer]
PublicKey = ${server.publicKey}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = ${address('vpn', 'eth0', 'ipv4')}:${port}
PersistentKeepalive = 1
`,
    );
  }
}

/** What a client's container runs. */
export const wireGuardClientCommand = ['sh', '-c', 'wg-quick up wg0 && exec sleep infinity'];
