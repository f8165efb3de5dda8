import type { Disposition } from './model/expectation';
import type { Arguments } from './private/arguments';
import { EXPECTED } from './private/kinds';
import { list } from './private/shapes';

/**
 * The expected outcome of packets.
 */
export class Expected {
  /**
   * Packets are sent to a router.
   *
   * @param gateway - address of the router
   * @param device - interface that leads to it; any interface if not given
   */
  public static via(gateway: string, device?: string): Expected {
    return new Expected((args) => [
      {
        kind: 'unicast',
        via: args.value('address', gateway, 'gateway'),
        device: args.optional('device', device, 'device'),
      },
    ]);
  }

  /**
   * Packets leave by an interface, through any router or none.
   *
   * @param name - name of the interface
   */
  public static device(name: string): Expected {
    return new Expected((args) => [{ kind: 'unicast', device: args.value('device', name, 'device') }]);
  }

  /** Packets are for the machine itself. */
  public static local(): Expected {
    return new Expected(() => [{ kind: 'local' }]);
  }

  /** Packets are rejected: as unreachable, as prohibited, silently, or because there is no route. */
  public static unreachable(): Expected {
    return new Expected(() => [{ kind: 'rejected' }]);
  }

  /**
   * Any of several outcomes.
   *
   * @param expected - the outcomes
   */
  public static anyOf(...expected: Expected[]): Expected {
    return new Expected((args) => {
      args.check(list(EXPECTED, 'a list'), expected, 'expected');
      if (expected.length === 0) {
        throw args.error('expected [] of anyOf is empty, so nothing could meet it. Give at least one outcome.');
      }
      return expected.flatMap((each) => each._dispositions(args));
    });
  }

  private constructor(
    /**
     * @internal
     */
    public readonly _dispositions: (args: Arguments) => Disposition[],
  ) {}
}
