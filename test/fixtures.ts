import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TerraformOutput, TerraformStack, Testing } from 'cdktf';
import { Manifest } from 'cdktf/lib/manifest';
import type { LinuxHostProps, NetworkInterface } from '../lib';
import { LinuxHost, SourceRoutingTable } from '../lib';
import { literal } from '../lib/delivery/escape';

/** A key of the right form; no machine has it. */
export const HOST_KEY = 'ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA==';

export const SSH = { host: '192.168.178.2', privateKeyFile: '~/.ssh/id', hostKey: HOST_KEY };

/** The how-to's VPN server. */
export const INTERFACES = [
  { name: 'eth0', addresses: ['192.168.178.2/24'] },
  { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
  { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
];

/** The same machine where the tunnels have IPv4 only. */
export const IPV4_TUNNELS = [
  ...INTERFACES.slice(0, 2),
  { name: 'tun0', addresses: ['10.10.10.1/24'] },
  { name: 'tun1', addresses: ['10.10.11.1/24'] },
];

/** All of it declared, as it should be where the synth is to say where packets go. */
export const ALL_INTERFACES: NetworkInterface[] = [
  { name: 'eth0', addresses: ['192.168.178.2/24', 'fd00:178::2/64'], gateways: ['192.168.178.1', 'fd00:178::1'] },
  ...INTERFACES.slice(1),
];

export const POOLS = ['10.10.10.0/24', 'fd00:4242:4242:4242::/64'];
export const GATEWAYS = ['192.168.1.1', 'fd00:1010:1010:1010::1'];

export function newStack(): TerraformStack {
  return new TerraformStack(Testing.app(), 'stack');
}

export function newHost(stack: TerraformStack, props: Partial<LinuxHostProps> = {}, id = 'vpn1'): LinuxHost {
  return new LinuxHost(stack, id, { ssh: SSH, interfaces: INTERFACES, ...props });
}

/** A table with the how-to's IPv4 route. */
export function newTable(host: LinuxHost, id = 'vpn', tableId = 200): SourceRoutingTable {
  const table = new SourceRoutingTable(host.node.scope ?? host, id, { host, tableId });
  table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
  return table;
}

interface Resource {
  readonly triggers_replace: Record<string, string>;
  readonly input?: Record<string, string>;
  readonly connection?: Record<string, unknown>;
  readonly depends_on?: string[];
  readonly provisioner: ReadonlyArray<Record<string, Record<string, unknown>>>;
}

export interface Synthesized {
  readonly resource: Record<string, Record<string, Resource>>;
  readonly provider?: Record<string, unknown[]>;
  readonly output?: Record<string, { readonly value: unknown }>;
}

export function synthesize(stack: TerraformStack): Synthesized {
  return JSON.parse(Testing.synth(stack)) as Synthesized;
}

/** Where a configuration takes a text from a file beside it. */
export const FILE = /\$\{file\("\$\{path\.module\}\/([^"]*)"\)\}/g;

/** Texts with the files that they name, escaped so that only what Terraform evaluates is a template. */
export function withFiles(stack: TerraformStack, texts: readonly string[]): string[] {
  const outdir = mkdtempSync(join(tmpdir(), 'synth-'));
  const manifest = new Manifest('0.0.0', outdir, false);
  stack.synthesizer.synthesize({ outdir, manifest, skipValidation: true });
  const directory = join(outdir, manifest.forStack(stack).workingDirectory);
  const contents = (_: string, name: string): string => literal(readFileSync(join(directory, name), 'utf8'));
  return texts.map((text) => text.replace(FILE, contents));
}

/** An expression for the key in an environment variable, whose name is an expression too. */
export function environmentKeyOf(name: string): string {
  const value = `regex("(?:^|\\\\x00)\${${name}}=([^\\\\x00]+)", textdecodebase64(filebase64("/proc/self/environ"), "ISO-8859-1"))`;
  return `[for v in ${value} : trimspace(replace(can(regex("-----BEGIN ", v)) ? v : try(base64decode(v), v), "\\r", ""))][0]`;
}

/** The scripts of a resource, as Terraform uploads them, but for its own values. */
export function scriptsOf(stack: TerraformStack, kind: 'anchor' | 'apply', type = 'terraform_data'): string[] {
  const { provisioner } = resourceOf(stack, kind, type);
  return withFiles(
    stack,
    provisioner.flatMap((each) => (each['remote-exec']?.inline ?? []) as string[]),
  );
}

/** The resource of a host, by the name that its address begins with. */
export function resourceOf(stack: TerraformStack, kind: 'anchor' | 'apply', type = 'terraform_data'): Resource {
  const resources = synthesize(stack).resource[type] ?? {};
  const found = Object.entries(resources).filter(([name]) => name.includes(`_${kind}_`));
  const [entry] = found;
  if (found.length !== 1 || !entry) {
    throw new Error(`${found.length} resources of kind ${kind} among ${Object.keys(resources).join(', ')}`);
  }
  return entry[1];
}

/** The whole bundle, with the files that its parts are in. */
export function contentOf(stack: TerraformStack, type = 'terraform_data'): string {
  const [content] = withFiles(stack, [resourceOf(stack, 'apply', type).provisioner[0]?.file?.content as string]);
  return content;
}

/** The data part of the bundle, line by line. */
export function bundleOf(stack: TerraformStack, type = 'terraform_data'): string[] {
  const content = contentOf(stack, type);
  return content.slice(content.indexOf('\n#--- bundle\n')).split('\n').slice(2);
}

/** The files of the bundle by their paths, each line by line. */
export function filesOf(stack: TerraformStack): Record<string, string[]> {
  const lines = bundleOf(stack);
  const files: Record<string, string[]> = {};
  lines.forEach((line, index) => {
    const [, path, length] = /^file \d{4} (\S+) (\d+)( shared)?( systemd)?( nftables)?$/.exec(line) ?? [];
    if (path !== undefined) {
      files[path] = lines.slice(index + 1, index + 1 + Number(length)).map((text) => text.slice(1));
    }
  });
  return files;
}

/** What synth says is wrong, each as `[path] message`; nothing where all is well. */
export function validationErrors(stack: TerraformStack): string[] {
  try {
    Testing.synth(stack, true);
    return [];
  } catch (error) {
    return String((error as Error).message)
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.startsWith('['));
  }
}

/** What synth fails with, as the user sees it; empty where all is well. */
export function synthesisError(stack: TerraformStack): string {
  try {
    Testing.synth(stack, true);
    return '';
  } catch (error) {
    return String((error as Error).message);
  }
}

/** The warnings in the tree, each as `[path] message`. */
export function synthWarnings(stack: TerraformStack): string[] {
  Testing.synth(stack);
  return stack.node
    .findAll()
    .flatMap((node) =>
      node.node.metadata
        .filter(
          (entry) => entry.type.endsWith('/warn') || entry.type.endsWith(':warning') || entry.type.includes('warn'),
        )
        .map((entry) => `[${node.node.path}] ${String(entry.data)}`),
    );
}

/** A value with its tokens as Terraform will read them. */
export function resolve(stack: TerraformStack, value: unknown): unknown {
  new TerraformOutput(stack, 'resolved', { value });
  return synthesize(stack).output?.resolved?.value;
}
