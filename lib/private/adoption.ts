import type { AdoptOptions } from '../adopt-options';
import type { Arguments } from './arguments';
import { parseHostPath } from './host-path';
import type { Shape } from './shapes';
import { list, optional, text } from './shapes';

export const ADOPT: Shape<AdoptOptions> = {
  files: optional(list(text('a path such as "/etc/openvpn/up"'), 'a list such as ["/etc/openvpn/up"]')),
};

/** Files that hold more than the rules and routes of one table. The first match says what to do. */
const SHARED_FILES: ReadonlyArray<[RegExp, string]> = [
  [
    /^\/etc\/iproute2\/rt_tables(\.d\/.*)?$/,
    'holds the names of tables, which the machine takes over line by line. Leave it out.',
  ],
  [
    /^\/(usr\/(?!local\/)|var|run|dev|proc|sys|boot|lib|bin|sbin)/,
    'is not a file that administrators write. Leave it out, and name files below /etc or /usr/local.',
  ],
  [
    /^\/etc\/network\/interfaces(\.d\/.*)?$|\/ifcfg-[^/]*$|\.(network|netdev|nmconnection|ya?ml|conf)$|^\/etc\/(rc\.d\/)?rc\.local$|^\/etc\/crontab$/,
    'holds more than rules and routes, and would be removed. Leave it out, and remove its lines about the table ' +
      'yourself after the apply. This changes nothing until the next boot.',
  ],
];

/**
 * The files to take over.
 *
 * @internal
 */
export function parseAdoption(args: Arguments, given: AdoptOptions | undefined): readonly string[] | undefined {
  return given && (given.files ?? []).map((file, index, all) => parseFile(args, file, index, all));
}

function parseFile(args: Arguments, file: string, index: number, all: readonly string[]): string {
  const property = `adopt.files[${index}]`;
  const path = parseHostPath(args, file, property);
  const shared = SHARED_FILES.find(([pattern]) => pattern.test(path));
  if (shared) {
    throw args.error(`${property} "${path}" ${shared[1]}`);
  }
  if (all.indexOf(file) !== index) {
    throw args.error(`${property} "${path}" is there twice. Leave one out.`);
  }
  return path;
}
