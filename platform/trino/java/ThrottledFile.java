import io.trino.plugin.password.file.FileAuthenticatorFactory;
import io.trino.spi.Plugin;
import io.trino.spi.security.PasswordAuthenticator;
import io.trino.spi.security.PasswordAuthenticatorFactory;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * A plugin of Trino: its own password file, with a limit on guessing. Trino has none. It has the
 * settings of "file", and what it does with them is Trino's matter.
 *
 * <p>The classes beside this file are these sources compiled; the runtime that runs them has no
 * compiler. After a change: go generate ./trino, which needs a javac of Java 24 or later.
 */
public class ThrottledFile implements Plugin, PasswordAuthenticatorFactory {
  @Override
  public Iterable<PasswordAuthenticatorFactory> getPasswordAuthenticatorFactories() {
    return List.of(this);
  }

  @Override
  public String getName() {
    return "throttled-file";
  }

  @Override
  public PasswordAuthenticator create(Map<String, String> config) {
    PasswordAuthenticator file = new FileAuthenticatorFactory().create(config);
    return new ThrottledPasswords(file, Path.of(config.get("file.password-file")), System::nanoTime);
  }
}
