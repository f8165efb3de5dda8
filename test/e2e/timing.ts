/** What a machine says of times, in shell. */

/** The time in milliseconds since 1970. */
export const NOW = 'now() { echo $(($(date +%s%N) / 1000000)); }';

/** Waits until rules and routes are what they were; says after how many milliseconds since `command` ended. */
export const timed = (command: string): string => `state() {
    ip -d rule; ip -d -6 rule; ip route show table 200; ip -6 route show table 200
  }
  ${NOW}
  before=$(state)
  { ${command}
  } >&2
  start=$(now)
  until [ "$(state)" = "$before" ]; do
    [ $(($(now) - start)) -lt 15000 ] || { echo "wanted: $before"; echo "there is: $(state)"; exit 1; }
    sleep 0.02
  done >&2
  echo $(($(now) - start))`;
