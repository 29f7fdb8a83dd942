# Fetches the adit agent from the coordinator, checks its digest and runs it, on
# Windows. The token is in ADIT_AGENT_TOKEN, or in the file that
# ADIT_AGENT_TOKEN_FILE names. It tries until the coordinator can be reached.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # it slows downloads down a great deal
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12

$url = '@URL@'
# How the agent proves who it is, if not by a token.
$auth = '@AUTH@'
$dir = if ($env:ADIT_AGENT_DIR) { $env:ADIT_AGENT_DIR } else { Join-Path $env:ProgramData 'adit' }
New-Item -ItemType Directory -Force -Path $dir | Out-Null
$log = Join-Path $dir 'init.log'

function Say($text) {
    $line = '{0:yyyy-MM-ddTHH:mm:ssZ} adit: {1}' -f [DateTime]::UtcNow, $text
    Write-Host $line
    Add-Content -Path $log -Value $line -ErrorAction SilentlyContinue
}

if ($auth) {
    $env:ADIT_AGENT_AUTH = $auth
} elseif (-not $env:ADIT_AGENT_TOKEN -and -not $env:ADIT_AGENT_TOKEN_FILE) {
    Say 'no token: set ADIT_AGENT_TOKEN or ADIT_AGENT_TOKEN_FILE'
    exit 1
}

$arch = if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') { 'arm64' } else { 'amd64' }
$source = "$url/api/v1/agent/binary/windows/$arch"
$binary = Join-Path $dir 'adit.exe'
$delay = 1
while ($true) {
    try {
        $file = Join-Path $dir 'want'
        Invoke-WebRequest -UseBasicParsing -TimeoutSec 60 -Uri "$source/sha256" -OutFile $file
        $want = (Get-Content -Raw $file).Trim()
        if ((Test-Path $binary) -and (Get-FileHash -Algorithm SHA256 $binary).Hash -eq $want) {
            Say 'the agent is here already'
            break
        }
        Say "fetching $source"
        Invoke-WebRequest -UseBasicParsing -TimeoutSec 600 -Uri $source -OutFile "$binary.new"
        $got = (Get-FileHash -Algorithm SHA256 "$binary.new").Hash
        if ($got -ne $want) {
            Remove-Item "$binary.new"
            throw "the agent has the digest $got, and $want was promised"
        }
        Move-Item -Force "$binary.new" $binary
        break
    } catch {
        Say "$_; trying again in $delay s"
        Start-Sleep -Seconds $delay
        $delay = [Math]::Min($delay * 2, 30)
    }
}

Say 'running the agent'
$env:ADIT_URL = $url
& $binary agent
exit $LASTEXITCODE
