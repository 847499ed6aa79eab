//! Steps that write measurements, notifications and the audit trail, forget what is old, and erase.

use healthmate_care::{AuditAction, AuditRecord, Measurement, Metric};
use healthmate_protocol::{
    ClientId, NotificationId, NotificationKind, OriginalQuantity, Priority, Timestamp,
};

use super::super::Failed;
use super::{Taken, told};
use crate::{Idempotency, NewNotification, Recording};

impl Taken<'_> {
    pub(super) async fn data(&mut self) -> Result<String, Failed> {
        Ok(match self.pick(11) {
            0..4 => told("record", self.store.record(self.recording()?).await),
            4..6 => {
                let count = self.pick(3);
                let news = (0..count).map(|_| self.news()).collect::<Result<_, _>>()?;
                told("notify", self.store.notify(news).await)
            }
            6 => {
                let (person, name) = (self.person()?, NotificationId::new(&self.name().to_string())?);
                told("seen", self.store.notification_seen(&person, &name, self.now).await)
            }
            7 => {
                // Which topic loses how many at a limit is the store's choice.
                let before = self.one(&[self.now, Timestamp::MAX, self.now.plus_millis(-40)]);
                told("trim", self.store.trim(before, u32::MAX).await)
            }
            8 => {
                // Nor which go first of those that were used first at the same moment.
                let (before, limit) = (self.moment(), self.one(&[0, 1000]));
                told("keys", self.store.forget_idempotency_keys(before, limit).await)
            }
            _ => {
                let record = AuditRecord::new(self.by(), AuditAction::Read).object("health:p");
                let records = [record.clone(), record.patient(&self.person()?)];
                told("audit", self.store.audit(records.into()).await)
            }
        })
    }

    fn recording(&mut self) -> Result<Recording, Failed> {
        let (patient, author, count) = (self.person()?, self.person()?, self.pick(4));
        let measurements = (0..count).map(|_| self.measurement()).collect::<Result<_, _>>()?;
        let (key, digest) = (self.one(&["k", "l"]).to_owned(), [self.pick(2); 32]);
        let idempotency = if self.pick(3) == 0 { Some(Idempotency { key, digest }) } else { None };
        let record = AuditRecord::new(self.by(), AuditAction::Write).patient(&patient);
        let audit = if self.is_so() { Some(Box::new(record)) } else { None };
        Ok(Recording { patient, author, measurements, idempotency, audit })
    }

    fn measurement(&mut self) -> Result<Measurement, Failed> {
        let value = f64::from(self.pick(200)) / 3.0;
        Ok(Measurement {
            metric: self.one(&[Metric::HeartRate, Metric::Glucose]),
            value,
            taken_at: self.moment(),
            client_id: if self.is_so() { Some(ClientId::new(self.one(&["a", "b", "c"]))?) } else { None },
            device: if self.is_so() { Some(self.one(&["a cuff", "a «watch»"]).to_owned()) } else { None },
            original: (self.pick(4) == 0).then(|| OriginalQuantity { value, unit: "bpm".to_owned() }),
        })
    }

    pub(super) fn news(&mut self) -> Result<NewNotification, Failed> {
        Ok(NewNotification {
            id: NotificationId::new(&self.name().to_string())?,
            user: self.person()?,
            kind: NotificationKind::BreakGlass,
            priority: self.one(&[Priority::Low, Priority::Urgent]),
            title: "opened".to_owned(),
            body: format!("at {}", self.now),
            patient: if self.is_so() { Some(self.person()?) } else { None },
            expires_at: if self.is_so() { Some(self.moment()) } else { None },
        })
    }
}
