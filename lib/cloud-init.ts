import { Lazy, Token } from 'cdktf';
import { MOST_BYTES, bootHook, bootHookBase64, mostBytes } from './delivery/cloud-init';
import { partsText } from './delivery/user-data';
import type { LinuxHost } from './linux-host';
import { Arguments } from './private/arguments';
import { HOST } from './private/kinds';
import { list, secret } from './private/shapes';

const OTHERS = list(secret('a text such as "#cloud-config\\n..."'), 'a list of texts for cloud-init');

/** The hosts whose text is measured at synth. */
const measured = new WeakSet<LinuxHost>();

/**
 * The declaration of a host as `user_data` of a new cloud instance. With it, the instance already routes clients as
 * declared when it boots for the first time. Their packets never leave by the main default route.
 *
 * The text has rules, routes, guards, the kill switch, source NAT and the switches of forwarding. It has no secrets.
 * Up hooks of VPN daemons, accept rules in other firewalls, and next hops that DHCP or router advertisements give come
 * with the first apply. Until then, packets that need these are rejected.
 *
 * The first apply over SSH takes all of it over, and loses no packet. From then on, the text does nothing.
 *
 * Many clouds replace an instance whose `user_data` changes. Have Terraform ignore the change, since the apply brings
 * it to the machine.
 *
 * @example
 * const server = new LinuxHost(this, 'server', { ssh: { host: elasticIp.publicIp }, replaceTriggeredBy: [instance.id] });
 * instance.userData = CloudInit.of(server).userData;
 * instance.lifecycle = { ignoreChanges: ['user_data'] };
 */
export class CloudInit {
  /**
   * The text for the instance that a host is.
   *
   * @param host - the host, to which constructs may still be added
   * @throws ValidationError if it is not a `LinuxHost`
   */
  public static of(host: LinuxHost): CloudInit {
    new Arguments('CloudInit.of()').check(HOST, host, 'host');
    return new CloudInit(host);
  }

  private constructor(private readonly host: LinuxHost) {
    if (measured.has(host)) {
      return;
    }
    measured.add(host);
    host.node.addValidation({
      validate: () => {
        const bytes = mostBytes(host._declaration.declared());
        return bytes <= MOST_BYTES
          ? []
          : [
              `The user data of this host has ${bytes} bytes, but a cloud takes ${MOST_BYTES}. ` +
                'Declare fewer pools and rules, such as one pool for several adjacent ones, or leave CloudInit out.',
            ];
      },
    });
  }

  /**
   * The text: a boot hook of cloud-init, as the whole of `user_data`. In a `cloudinit_config`, it is the content of a
   * part, with the content type `text/cloud-boothook`.
   *
   * @see https://docs.cloud-init.io/en/latest/explanation/format/cloud-boothook.html
   */
  public get userData(): string {
    return Lazy.stringValue({ produce: (context) => bootHook(this.host._declaration.declared(), context) });
  }

  /**
   * The same in base64, for clouds that want that, such as `custom_data` of Azure. A function such as `Fn.base64gzip`
   * takes `Fn.base64decode()` of it.
   */
  public get userDataBase64(): string {
    return Lazy.stringValue({ produce: (context) => bootHookBase64(this.host._declaration.declared(), context) });
  }

  /**
   * The text together with other texts for cloud-init, as one MIME message.
   *
   * @param others - texts that begin like `#cloud-config` or `#!/bin/sh`, by which cloud-init tells what they are
   * @throws ValidationError if one of them is not a text in ASCII that begins so
   */
  public userDataWith(others: string[]): string {
    const args = new Arguments(this.host);
    args.check(OTHERS, others, 'others');
    others.forEach((text, index) => checkPart(args, text, `others[${index}]`));
    return partsText([this.userData, ...others]);
  }
}

/** cloud-init ignores a part that it does not know, and garbles letters in a message. */
function checkPart(args: Arguments, text: string, property: string): void {
  if (Token.isUnresolved(text)) {
    return;
  }
  if (!text.startsWith('#')) {
    throw args.error(
      `${property} does not begin with a line such as "#cloud-config" or "#!/bin/sh", by which cloud-init tells what it is. Begin it so.`,
    );
  }
  const [letter] = /[^\t\n\r -~]/.exec(text) ?? [];
  if (letter !== undefined) {
    throw args.error(
      `${property} has "${letter}", which cloud-init garbles in a message of several parts. Use ASCII, or base64 in write_files.`,
    );
  }
}
