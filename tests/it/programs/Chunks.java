import jakarta.mail.*;
import jakarta.mail.internet.*;
import java.util.Properties;

/** Sends two mails in chunks of at most 1000 octets: HOST PORT. */
public class Chunks {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("mail.smtp.host", arguments[0]);
        settings.put("mail.smtp.port", arguments[1]);
        settings.put("mail.smtp.localhost", "client.example");
        settings.put("mail.smtp.chunksize", "1000");
        settings.put("mail.smtp.dsn.notify", "SUCCESS,FAILURE");
        settings.put("mail.smtp.dsn.ret", "HDRS");
        settings.put("mail.smtp.allow8bitmime", "true");
        Session session = Session.getInstance(settings);
        try (Transport transport = session.getTransport("smtp")) {
            transport.connect();
            for (String text : new String[] {".dots\n..two\n.\nend\n", "a line of the text\n".repeat(500)}) {
                MimeMessage message = new MimeMessage(session);
                message.setFrom(new InternetAddress("ann@example.com"));
                message.setRecipient(Message.RecipientType.TO, new InternetAddress("bob@example.com"));
                message.setSubject("hi");
                message.setText(text);
                message.saveChanges();
                transport.sendMessage(message, message.getAllRecipients());
            }
        }
    }
}
