import { domainToASCII } from 'node:url';
import { Token } from 'cdktf';
import type { Arguments } from './arguments';
import { shown } from './shown';
import { literalPart } from './tokens';

const HOST = /^[A-Za-z0-9._:-]+$/;
const WITH_PORT = /^([^:]*|\[.*\]):\d+$/;

/**
 * Checks the target of the connection: a plain name or address. `owner` is the property that has host, port and user.
 */
export function checkHost(args: Arguments, host: string, owner: string): void {
  const property = `${owner}.host`;
  // The URL may have a password.
  const told = shown(host).replace(/:[^:@/]*@/, ':...@');
  const value = told && ` ${told}`;
  const wrong = (what: string, fix: string): Error => args.error(`${property}${value} ${what}. ${fix}`);
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(host) ?? [];
  if (scheme !== undefined) {
    throw wrong('is a URL', 'Give the host name or IP address alone.');
  }
  if (literalPart(host).includes('@')) {
    throw wrong('has a user in it', `Set ${owner}.user, and leave out everything up to the "@" here.`);
  }
  if (WITH_PORT.test(literalPart(host))) {
    throw wrong('has a port in it', `Set ${owner}.port, and leave out the ":" and the port here.`);
  }
  if (Token.isUnresolved(host)) {
    args.checkLiteralPart(host, property);
    return;
  }
  const [, bare] = /^\[(.*)\]$/.exec(host) ?? [];
  if (bare !== undefined) {
    throw wrong('has brackets', `Did you mean ${shown(bare)}?`);
  }
  if (host.includes('%')) {
    throw wrong('has a zone, which Terraform does not support', 'Give an address without one.');
  }
  if (/^[^/]+\/\d+$/.test(host)) {
    throw wrong('has a prefix length', `Did you mean ${shown(host.replace(/\/\d+$/, ''))}?`);
  }
  const ascii = domainToASCII(host);
  if (/[^ -~]/.test(host) && HOST.test(ascii)) {
    throw wrong('has letters that names in DNS do not have', `Did you mean ${shown(ascii)}?`);
  }
  args.text(host, property, HOST, 'a host name or an IP address');
}
