/** What a machine is configured as and does: what must be the same after a change was undone. */
export interface Snapshot {
  /** One entry for each thing: "rule ipv4 0: from all lookup local", "file /etc/hosts". */
  readonly entries: Readonly<Record<string, string>>;
}

/** Until no IPv6 address is being looked for on the network any more: only then it is used, and has its route. */
export const addressed = `for try in $(seq 50); do
  [ -n "$(ip -6 address show tentative -dadfailed)" ] || break
  sleep 0.1
done`;

/**
 * Printed one thing a line, "kind<TAB>key<TAB>value".
 *
 * Files that change by themselves are left out, and only those: what systemd keeps for itself
 * (random seed, timer stamps, catalog), what apt and dpkg keep of packages, which no test
 * installs, and NetworkManager's leases and time stamps.
 */
export const snapshotScript = `set -eu
export LC_ALL=C
${addressed}
tab=$(printf '\\t')
for family in 4 6; do
  ip -$family rule show | sed "s/^/rule$tab ipv$family /; s/$/$tab/"
  # Life times tick, and a tunnel device has another random link-local address each time.
  ip -$family route show table all | sed -e '/^\\(local\\|anycast\\) fe80:/d' -e 's/ expires [0-9]*sec//; s/ *$//' -e "s/^/route$tab ipv$family /; s/$/$tab/"
done
find /etc /usr/local /var/lib \\
  \\( -path /var/lib/systemd -o -path /var/lib/private -o -path /var/lib/apt -o -path /var/lib/dpkg \\
     -o -path /var/lib/NetworkManager \\) -prune -o -printf "file$tab%p$tab%M %u:%g %l\\n" -type f -fprint0 /run/lab-snapshot
xargs -0 sha256sum </run/lab-snapshot | sed "s/^\\([0-9a-f]*\\)  /sha256$tab\\1$tab/"
rm -f /run/lab-snapshot
# Login sessions come and go; any other transient unit (a forgotten timer, say) is of interest.
for current in /var/lib/source-routing/*/current; do
  [ -f "$current" ] || continue
  owner=\${current%/current}
  printf 'generation\\t%s\\t%s\\n' "\${owner##*/}" "$(cat "$current")"
done
systemctl list-unit-files --no-legend --no-pager --plain | grep -v '^session-.*\\.scope ' | while read -r unit state rest; do
  printf 'unit\\t%s\\t%s\\n' "$unit" "$state"
done
`;

export function parseSnapshot(text: string): Snapshot {
  const entries: Record<string, string> = {};
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [kind, first, second] = line.split('\t');
    if (kind === 'sha256') {
      entries[`file ${second}`] += ` ${first}`;
    } else {
      // The same route may be there more than once (one for each device): count them.
      let key = `${kind} ${first.trim()}`;
      for (let copy = 2; key in entries; copy += 1) key = `${kind} ${first.trim()} (${copy})`;
      entries[key] = second.trim();
    }
  }
  return { entries };
}

/** What is different, one readable line each: "+" came, "-" went, "~" changed. */
export function diffSnapshots(before: Snapshot, after: Snapshot): string[] {
  const keys = [...new Set([...Object.keys(before.entries), ...Object.keys(after.entries)])].sort();
  return keys.flatMap((key) => {
    const [old, now] = [before.entries[key], after.entries[key]];
    if (old === now) return [];
    if (old === undefined) return [`+ ${key} ${now}`.trimEnd()];
    if (now === undefined) return [`- ${key} ${old}`.trimEnd()];
    return [`~ ${key}: ${old} -> ${now}`];
  });
}

/**
 * The same snapshot for each time that a generation is applied, which gives it another id: the
 * directory of the generation in force is always called CURRENT.
 */
export function withoutIds({ entries }: Snapshot): Snapshot {
  const same = Object.entries(entries).map(([key, value]): [string, string] => {
    const [, owner, rest] = /^file \/var\/lib\/source-routing\/([^/]+)\/(.*)$/.exec(key) ?? [];
    if (key.startsWith('generation ')) return [key, 'CURRENT'];
    if (owner === undefined) return [key, value];
    // The id is also what is in this file.
    if (rest === 'current') return [key, value.replace(/ [0-9a-f]{64}$/, '')];
    const id = entries[`generation ${owner}`];
    const ofCurrent = key.replace(`/${owner}/${id}`, `/${owner}/CURRENT`);
    // Each state of Terraform has an id of its own, which is in this file.
    if (rest === `${id}/anchor`) return [ofCurrent, value.replace(/ [0-9a-f]{64}$/, '')];
    return rest === id || rest.startsWith(`${id}/`) ? [ofCurrent, value] : [key, value];
  });
  return { entries: Object.fromEntries(same) };
}

/**
 * Which of two generations a machine is in, exactly. If in neither: what is different from the old
 * one and, after that, from the new one.
 */
export function generationOf(now: Snapshot, recorded: { old: Snapshot; new: Snapshot }): 'old' | 'new' | string[] {
  const [fromOld, fromNew] = [recorded.old, recorded.new].map((each) =>
    diffSnapshots(withoutIds(each), withoutIds(now)),
  );
  if (fromOld.length === 0) return 'old';
  if (fromNew.length === 0) return 'new';
  return ['neither: from old', ...fromOld, 'from new', ...fromNew];
}
