#!/usr/bin/env bash
# Maven io.fabric8:kubernetes-model-core 8.0.0: Quantity calculates with 16 digits, so that sums and large sizes are not what they say.
#
# Expected: the documentation of Quantity in Kubernetes: a fixed-point number that loses no precision. 512Mi and 100k is 536970912 bytes.
# Seen: the sum is written in Mi with 16 digits, is no whole number of bytes any more, and is not equal to 536970912. 1Ei is not equal to its own
# number of bytes. An operator that compares what it wants with what the cluster has updates it again and again.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
cat > pom.xml <<'END'
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId>
  <artifactId>finding</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>io.fabric8</groupId><artifactId>kubernetes-model-core</artifactId><version>8.0.0</version></dependency>
  </dependencies>
</project>
END
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib > /dev/null 2>&1
cat > Main.java <<'END'
import io.fabric8.kubernetes.api.model.Quantity;

public class Main {
  public static void main(String[] arguments) {
    Quantity sum = new Quantity("512Mi").add(new Quantity("100k"));
    System.out.println("512Mi + 100k: " + sum + ", as a number " + sum.getNumericalAmount().toPlainString());
    System.out.println("equal to 536970912: " + sum.equals(new Quantity("536970912")));
    System.out.println("1Gi equal to its bytes: " + new Quantity("1Gi").equals(new Quantity("1073741824")));
    System.out.println("1Ei equal to its bytes: " + new Quantity("1Ei").equals(new Quantity("1152921504606846976")));
  }
}
END
seen=$(java -cp 'lib/*' Main.java 2> /dev/null)
expected='512Mi + 100k: 512.0953674316406Mi, as a number 536970911.9999999737856
equal to 536970912: false
1Gi equal to its bytes: true
1Ei equal to its bytes: false'
printf 'io.fabric8:kubernetes-model-core 8.0.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
