/** What a cloud gives a new instance: the datasource NoCloud has it in a directory, where others ask a server. */
export function cloudFiles(name: string, userData: string): Array<[path: string, text: string]> {
  const seed = '/var/lib/cloud/seed/nocloud';
  return [
    [`${seed}/meta-data`, `instance-id: ${name}-1\nlocal-hostname: ${name}\n`],
    [`${seed}/user-data`, userData],
    ['/etc/cloud/cloud.cfg.d/99-lab.cfg', CONFIGURATION],
  ];
}

/** The lab has made the network, the users and the keys. A machine without a resolver waits for no archive. */
const CONFIGURATION = `datasource_list: [NoCloud]
network: {config: disabled}
preserve_hostname: true
manage_etc_hosts: false
ssh_deletekeys: false
disable_root: false
users: []
apt: {preserve_sources_list: true}
locale: false
`;
