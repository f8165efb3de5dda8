import type { Host, Problem } from '../model/host';
import type { Capabilities } from './capabilities';
import { versionNeeded } from './capabilities';
import { Devices } from './devices';
import type { DropIn, HostFile, PersistenceRenderer, ProfileBlock, Rendered } from './persistence';
import { watchUnit } from './service';

/** What a persistence writes besides our unit. */
export interface Written {
  readonly files?: readonly HostFile[];
  readonly dropIns?: readonly DropIn[];
  readonly blocks?: readonly ProfileBlock[];
}

/** A network manager that hangs rules and routes under the interfaces that bring them up. */
export abstract class LinkRenderer implements PersistenceRenderer {
  public abstract readonly name: string;
  public abstract readonly call: string;
  public abstract readonly tag: 'own' | 'static';
  public abstract readonly capabilities: Capabilities;
  private readonly device?: string;

  /** @param device - brings up what has no interface of its own; see `Devices` */
  public constructor(device?: string) {
    this.device = device;
  }

  public render(host: Host): Rendered {
    const devices = new Devices(host, this.device);
    const { files = [], ...written } = this.write(host, devices);
    const watch = watchUnit(host.owner);
    // Those that take raw `ip` commands do without systemd, too.
    const systemdOnly = this.tag === 'own';
    const needed = versionNeeded(host, this.capabilities);
    return {
      devices: devices.all(),
      files: [...files, { ...watch.file, systemdOnly }],
      ...written,
      units: [{ name: watch.name, systemdOnly }],
      requirements: [
        ...(systemdOnly ? [] : [{ kind: 'systemd' } as const]),
        ...(needed ? [{ kind: 'version', manager: this.versionOf(), ...needed } as const] : []),
      ],
    };
  }

  public problems(host: Host): Problem[] {
    return new Devices(host, this.device).problems(this.call);
  }

  /** What holds the rules and routes of the host. */
  protected abstract write(host: Host, devices: Devices): Written;

  /** Whose versions the capabilities speak of. */
  protected versionOf(): string {
    return this.name;
  }
}
