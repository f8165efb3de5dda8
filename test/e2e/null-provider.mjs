// A stand-in for the provider hashicorp/null.
//
//   node null-provider.mjs SOCKET
import { randomInt } from 'node:crypto';
import { UNKNOWN, WITHOUT_SETTINGS, attribute, pack, same, serve, unpack } from './provider-server.mjs';

const schema = {
  version: 0,
  block: {
    version: 0,
    attributes: [
      attribute('id', 'string', { computed: true }),
      attribute('triggers', ['map', 'string'], { optional: true }),
    ],
  },
};

serve('null', process.argv[2], {
  ...WITHOUT_SETTINGS,
  GetSchema: () => ({
    provider: { version: 0, block: { version: 0 } },
    resource_schemas: { null_resource: schema },
  }),
  ValidateResourceTypeConfig: () => ({}),
  UpgradeResourceState: ({ raw_state }) => ({ upgraded_state: pack(JSON.parse(raw_state.json)) }),
  ReadResource: ({ current_state }) => ({ new_state: current_state }),
  PlanResourceChange: ({ prior_state, proposed_new_state }) => {
    const prior = unpack(prior_state);
    const next = unpack(proposed_new_state);
    if (next === null) {
      return { planned_state: pack(null) };
    }
    const replace = prior !== null && !same(prior.triggers, next.triggers);
    const id = prior === null || replace ? UNKNOWN : prior.id;
    return {
      planned_state: pack({ ...next, id }),
      requires_replace: replace ? [{ steps: [{ attribute_name: 'triggers' }] }] : [],
    };
  },
  ApplyResourceChange: ({ prior_state, planned_state }) => {
    const planned = unpack(planned_state);
    if (planned === null) {
      return { new_state: pack(null) };
    }
    const id = unpack(prior_state)?.id ?? String(randomInt(2 ** 47));
    return { new_state: pack({ ...planned, id }) };
  },
});
