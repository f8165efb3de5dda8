import type { Host, Problem } from '../model/host';
import type { Capabilities } from './capabilities';
import { versionNeeded } from './capabilities';
import { Devices } from './devices';
import type { DropIn, HostFile, PersistenceRenderer, ProfileBlock, Rendered } from './persistence';
import { watchUnit } from './service';

/** What a persistence writes beside our unit. */
export interface Written {
  readonly files?: readonly HostFile[];
  readonly dropIns?: readonly DropIn[];
  readonly blocks?: readonly ProfileBlock[];
}

/** A network manager that attaches rules and routes to interfaces. */
export abstract class LinkRenderer implements PersistenceRenderer {
  public abstract readonly name: string;
  public abstract readonly call: string;
  public abstract readonly routeProtocol: 'own' | 'static';
  public abstract readonly capabilities: Capabilities;
  private readonly device?: string;

  /** @param device - brings up what has no interface of its own; see `Devices` */
  public constructor(device?: string) {
    this.device = device;
  }

  public render(host: Host): Rendered {
    const devices = new Devices(host, this.device);
    const { files = [], ...written } = this.write(host, devices);
    const watch = watchUnit(host);
    // Managers that take raw `ip` commands work without systemd as well.
    const systemdOnly = this.routeProtocol === 'own';
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

  /** The files with the rules and routes of the host. */
  protected abstract write(host: Host, devices: Devices): Written;

  /** The program whose versions the capabilities name. */
  protected versionOf(): string {
    return this.name;
  }
}
