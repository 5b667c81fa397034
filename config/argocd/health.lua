-- Health of an OpenIMCluster for Argo CD: docs/operate/platforms.md says where it goes.
local health = { status = "Progressing", message = "Waiting for the operator" }
local status = obj.status
-- What the status says is about an older spec, or about none.
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local is = {}
for _, condition in ipairs(status.conditions) do
  is[condition.type] = condition
end
local function holds(name)
  return is[name] ~= nil and is[name].status == "True"
end
local ready = is["Ready"]
if ready == nil then
  return health
end
health.message = ready.message
-- Somebody wants it to wait.
local waits = { Paused = true, AwaitingApproval = true, OutsideWindow = true }
-- Backups that do not succeed must not stop a sync: there is an alert for them.
local lacks = holds("Degraded") and is["Degraded"].reason ~= "BackupOverdue"
if holds("Stalled") or lacks then
  health.status = "Degraded"
elseif holds("Ready") then
  health.status = "Healthy"
elseif waits[ready.reason] then
  health.status = "Suspended"
end
return health
