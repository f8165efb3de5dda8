/** A line that no text for cloud-init has. */
const BOUNDARY = 'cdktf-source-routing-part';

/**
 * Several texts for cloud-init as one. It tells what a plain text is by its first line.
 *
 * @see https://docs.cloud-init.io/en/latest/explanation/format/mime-multipart.html
 */
export function partsText(texts: readonly string[]): string {
  return [
    'MIME-Version: 1.0',
    `Content-Type: multipart/mixed; boundary="${BOUNDARY}"`,
    '',
    ...texts.flatMap((text) => [`--${BOUNDARY}`, 'Content-Type: text/plain; charset="utf-8"', '', text]),
    `--${BOUNDARY}--`,
    '',
  ].join('\n');
}
