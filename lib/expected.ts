import type { Fate } from './model/expectation';
import type { Arguments } from './private/arguments';
import { EXPECTED } from './private/kinds';
import { list } from './private/shapes';

/**
 * What is to become of packets.
 */
export class Expected {
  /**
   * They are sent to a router.
   *
   * @param gateway - its address
   * @param device - the interface that leads to it; any if not given
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
   * They leave by an interface, through whatever router.
   *
   * @param name - name of the interface
   */
  public static device(name: string): Expected {
    return new Expected((args) => [{ kind: 'unicast', device: args.value('device', name, 'device') }]);
  }

  /** They are for the machine itself. */
  public static local(): Expected {
    return new Expected(() => [{ kind: 'local' }]);
  }

  /** They are rejected: as unreachable, as prohibited, without a word, or since there is no route. */
  public static unreachable(): Expected {
    return new Expected(() => [{ kind: 'rejected' }]);
  }

  /**
   * Any of several things.
   *
   * @param expected - the things
   */
  public static anyOf(...expected: Expected[]): Expected {
    return new Expected((args) => {
      args.check(list(EXPECTED, 'a list'), expected, 'expected');
      return expected.flatMap((each) => each._fates(args));
    });
  }

  private constructor(
    /**
     * @internal
     */
    public readonly _fates: (args: Arguments) => Fate[],
  ) {}
}
