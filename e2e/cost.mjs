// The rounds of cost.sh as one JSON: medians of each build, and of the ratio of the two in each round.
//   node cost.mjs FOLDER ROUNDS COMMIT
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

const [folder, rounds, commit] = process.argv.slice(2);

const median = (values) => {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
// What is compared of a round, by name.
const figures = (report) => {
  const { cost } = report;
  const figures = { ackP50: report.ackMs.p50, ackP99: report.ackMs.p99, endToEndP50: report.endToEndMs.p50, endToEndP99: report.endToEndMs.p99 };
  for (const kind of ["services", "servers", "all"]) figures[kind] = cost[kind].cpuMicrosPerMessage;
  // Services that are idle say nothing about a message.
  for (const [name, { cpuMicrosPerMessage }] of Object.entries(cost.processes)) {
    if (name !== "all" && cpuMicrosPerMessage >= 5) figures[`cpu ${name}`] = cpuMicrosPerMessage;
  }
  return figures;
};
const read = (build) => {
  const files = Array.from({ length: Number(rounds) }, (_, index) => `${folder}/${build}.${index + 1}.json`);
  return files.filter(existsSync).map((file) => JSON.parse(readFileSync(file, "utf8")));
};
const medians = (all) => {
  const names = Object.keys(all[0]).filter((name) => all.every((figures) => name in figures));
  return Object.fromEntries(names.map((name) => [name, Number(median(all.map((figures) => figures[name])).toPrecision(4))]));
};

const [after, before] = [read("after"), read("before")];
const incomplete = [...after, ...before].filter((report) => report.failed > 0 || report.undelivered > 0);
const result = {
  commit, cores: cpus().length, processor: cpus()[0]?.model, options: after[0].options, rounds: Number(rounds),
  incompleteRounds: incomplete.length, units: "µs of CPU time per durable message; ack and endToEnd in ms",
  after: medians(after.map(figures)),
};
if (before.length) {
  result.before = medians(before.map(figures));
  result.ratio = medians(after.map((report, index) => {
    const [now, then] = [figures(report), figures(before[index])];
    const both = Object.keys(now).filter((name) => name in then);
    return Object.fromEntries(both.map((name) => [name, now[name] / then[name]]));
  }));
}
console.log(JSON.stringify(result, null, 2));
